"""`make bench`: Waybill and a Python Celery worker at the same work, run after run in turn, on the same services.

    python bench.py --program target/release/waybill --orders 5000 --runs 3 --plot docs/benchmarks/orders-per-second.svg

What is measured, and what the figures do not say: docs/benchmarks.md.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import plot
from celery_baseline import payment
from waybill_side import Side, memory

HERE = pathlib.Path(__file__).parent
IDLE_LIMIT, PEAK_LIMIT = 64, 256


def measure_python(orders, limit):
    command = [sys.executable, str(HERE / "celery_baseline.py"), "--orders", str(orders), "--limit", str(limit)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(answer)["per_second"]


def measure_waybill(program, folder, orders, limit):
    """`waybill work -Q waybill.payments`: the payment events alone; the tasks that follow stay in their queue."""
    with Side(program, folder, "bench_work") as side:
        side.pay(map(payment, range(orders)))
        worker = side.start("work", "-Q", "waybill.payments")
        seconds = side.wait_for_orders(orders, limit, worker)
        return orders / seconds, memory(worker, "VmHWM")


def measure_all(program, folder, orders, limit):
    """`waybill all`: memory when idle and at its peak, and the whole way to DELIVERED with the simulated partner."""
    with Side(program, folder, "bench_all") as side:
        side.simulate_partner()
        whole = side.start("all")
        side.wait_until_ready()
        time.sleep(10)
        idle = memory(whole, "VmRSS")
        side.pay(map(payment, range(orders)))
        seconds = side.wait_for_state(orders, "DELIVERED", limit)
        commits, commands = side.commit_batches()
        return {
            "idle": idle, "peak": memory(whole, "VmHWM"), "per_second": orders / seconds, "batch": commands / max(commits, 1),
        }


def machine():
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown CPU")
    total = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    return f"{os.cpu_count()} cores, {cpu}, {total * 1024 / 1e9:.0f} GB"


def main():
    parser = argparse.ArgumentParser(description="Measure Waybill beside a Python Celery worker.")
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--orders", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--limit", type=int, default=300, help="seconds until one run is given up")
    parser.add_argument("--plot", type=pathlib.Path, help="where to draw the result")
    parser.add_argument("--only", choices=("waybill", "all"), help="a trial of one part, without a verdict")
    arguments = parser.parse_args()
    program, orders = arguments.program.resolve(), arguments.orders

    with tempfile.TemporaryDirectory(prefix="waybill-bench-") as folder:
        folder = pathlib.Path(folder)
        peer, ours = [], []
        for run in range(1, arguments.runs + 1):
            if arguments.only == "all":
                break
            if not arguments.only:
                peer.append(measure_python(orders, arguments.limit))
                print(f"run {run}: Python Celery {peer[-1]:8.0f} orders/s", flush=True)
            per_second, most = measure_waybill(program, folder, orders, arguments.limit)
            ours.append(per_second)
            print(f"run {run}: Waybill       {per_second:8.0f} orders/s, at most {most:.0f} MB", flush=True)
        if arguments.only == "waybill":
            return
        whole = measure_all(program, folder, orders, arguments.limit)

    report = [f"{machine()}; {orders} orders a run", ""]
    if ours:
        ratio = statistics.median(ours) / statistics.median(peer)
        report += ["orders per second        " + "".join(f"{f'run {run + 1}':>9}" for run in range(len(ours))) + "   median"]
        for name, runs in (("Waybill", ours), ("Python Celery, prefork 8", peer)):
            report.append(f"{name:<25}" + "".join(f"{it:9.0f}" for it in (*runs, statistics.median(runs))))
        report += [f"ratio of the medians     {ratio:.1f}", ""]
    report += [
        f"`waybill all` idle for 10 s     {whole['idle']:6.0f} MB resident (limit {IDLE_LIMIT})",
        f"`waybill all` at its peak       {whole['peak']:6.0f} MB resident (limit {PEAK_LIMIT})",
        f"`waybill all`, payment to DELIVERED {whole['per_second']:6.0f} orders/s; {whole['batch']:.1f} commands a commit",
    ]
    print("\n" + "\n".join(report))
    if arguments.plot and ours:
        note = f"payment event in RabbitMQ to committed order with its effect confirmed; {machine()}"
        rows = [
            ("Waybill", statistics.median(ours), f"{ratio:.1f} times the peer", ours),
            ("Python Celery 5.7", statistics.median(peer), "prefork 8, psycopg 3", peer),
        ]
        arguments.plot.parent.mkdir(parents=True, exist_ok=True)
        arguments.plot.write_text(plot.bars("Orders per second", note, rows))
        print(f"drawn: {arguments.plot}")
    if whole["idle"] > IDLE_LIMIT or whole["peak"] > PEAK_LIMIT:
        raise SystemExit("more memory than the limits allow")


if __name__ == "__main__":
    main()

"""A mixed cluster: a Python worker and ours take the same canvases off the same queue, and both are killed at random.

    python mixed.py --broker amqp://… --backend redis://… --ours '["celery-worker", …]' --canvases 100 --kills 4 --seed 1

Every step of a canvas says in one list that it has run. In the end each canvas must have its value, its steps in order, and
each step one task: run again after a kill under the same id, perhaps, but never published under a second one.

One loss is Python's own, and is told apart: a worker that deduplicates, handed the last part of a chord again whose result is stored
but not counted, takes it for done and never publishes the body (`again.py` shows it). Only a chord of which nothing but the body is
missing, and of which the Python worker has said just that, passes for it.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

import redis
from celery import Celery, chain, chord, group

QUEUE = "mixed"
# After the last kill, when both workers are up again.
PATIENCE = 60
# What a worker has in hand at most, and may have to do again when it is killed.
IN_HAND = 16
HERE = pathlib.Path(__file__).resolve().parent


class Worker:
    """A process that is started again whenever it was killed."""

    def __init__(self, name, command, environment, folder):
        self.name, self.command, self.environment = name, command, environment
        self.log = open(folder / f"{name}.log", "ab")
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            self.command, env=self.environment, cwd=HERE, stdout=self.log, stderr=self.log, start_new_session=True
        )

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()


def python_worker(queue):
    """The command of a stock worker."""
    return [
        sys.executable, "-B", "-m", "celery", "-A", "app", "worker", "-Q", queue, "-n", f"python@{queue}", "-c", "4", "-l", "INFO",
        "--without-gossip", "--without-mingle",
    ]


def completed_before(log):
    """The tasks that a Python worker was handed again and has not run, because it found them successful."""
    return set(re.findall(r"\[([^\[\]]+)\] Task already completed successfully", log.read_text(errors="replace")))


class Canvases:
    """Makes canvases, and knows what each must answer and in which order its steps may run."""

    def __init__(self, app, log, pause, chance):
        self.app, self.log, self.pause, self.chance = app, log, pause, chance
        self.before = []
        # Of a canvas with a chord: the parts of its header, the body, and what follows the body.
        self.chords = {}

    def step(self, label, *value):
        signature = self.app.signature("interop.step", args=value, kwargs={"log": self.log, "label": label, "pause": self.pause})
        return signature.set(queue=QUEUE)

    def make(self, number):
        """A signature, its value, and how many steps it has."""
        value = self.chance.randrange(100)
        width = self.chance.randrange(2, 6)
        kind = ("chain", "group", "chord", "all")[number % 4]
        label = f"{number}.".__add__
        parts = [self.step(label(f"part{part}"), value) for part in range(width)]
        names = [label(f"part{part}") for part in range(width)]
        if kind == "chain":
            self.before += list(zip(names, names[1:]))
            rest = [self.step(name) for name in names[1:]]
            return chain(parts[0], *rest), value + width, width
        if kind == "group":
            return group(parts), [value + 1] * width, width
        if kind == "chord":
            self.chords[number] = (names, [label("body")])
            self.before += [(name, label("body")) for name in names]
            return chord(parts, self.step(label("body"))), (value + 1) * width + 1, width + 1
        self.chords[number] = (names, [label("body"), label("last")])
        header = [self.step(name) for name in names]
        self.before += [(label("first"), name) for name in names] + [(name, label("body")) for name in names]
        self.before.append((label("body"), label("last")))
        whole = chain(self.step(label("first"), value), group(header), self.step(label("body")), self.step(label("last")))
        return whole, (value + 2) * width + 2, width + 3


def kill_at_random(workers, kills, pause, chance, done):
    """Now the one, now the other."""
    for _ in range(kills):
        if done.wait(chance.uniform(pause, 2 * pause)):
            return
        worker = chance.choice(workers)
        print(f"killed: {worker.name}", file=sys.stderr, flush=True)
        worker.kill()
        worker.start()


def collect(results, wanted, seconds):
    """What is not as it should be; nothing is waited for longer than that, all in all."""
    end, wrong = time.monotonic() + seconds, {}
    for number, result in enumerate(results):
        try:
            got = result.get(timeout=max(0.1, end - time.monotonic()), disable_sync_subtasks=False)
        except Exception as error:  # noqa: BLE001: whatever the caller would see
            got = f"{type(error).__name__}: {error}"
        if got != wanted[number]:
            wrong[number] = f"canvas {number}: {got!r} instead of {wanted[number]!r}"
    return wrong


def left_by_python(wrong, chords, lines, completed):
    """Of the canvases that are wrong, those whose body a Python worker has left out; and the steps that therefore never ran."""
    ids = collections.defaultdict(set)
    for line in lines:
        label, task_id, _ = line.decode().split(" ")
        ids[label].add(task_id)
    left, missing = [], 0
    for number in wrong:
        header, rest = chords.get(number, ([], []))
        through = header and all(ids[part] for part in header) and not any(ids[step] for step in rest)
        if through and any(ids[part] & completed for part in header):
            left.append(number)
            missing += len(rest)
    return left, missing


def judge(lines, steps, before, kills):
    """The list of what has run, against what had to run."""
    first, tasks, languages, runs = {}, collections.defaultdict(set), collections.Counter(), collections.Counter()
    for place, line in enumerate(lines):
        label, task_id, language = line.decode().split(" ")
        first.setdefault(label, place)
        tasks[label].add(task_id)
        languages[language] += 1
        runs[label] += 1
    again = sum(count - 1 for count in runs.values())
    wrong = [f"{label} had {len(ids)} tasks" for label, ids in tasks.items() if len(ids) != 1]
    wrong += [f"{later} ran before {earlier}" for earlier, later in before if first.get(earlier, 0) >= first.get(later, 1 << 60)]
    if len(tasks) != steps:
        wrong.append(f"{len(tasks)} of {steps} steps have run")
    if again > kills * IN_HAND:
        wrong.append(f"{again} steps ran again after {kills} kills")
    if len(languages) != 2:
        wrong.append(f"only {dict(languages)} took part")
    return wrong, {"steps": steps, "by": dict(languages), "again": again}


def main():
    parser = argparse.ArgumentParser(description="Canvases over a Python worker and ours, with kills of both.")
    parser.add_argument("--broker", required=True)
    parser.add_argument("--backend", required=True)
    parser.add_argument("--traces", required=True, help="the Redis in which tasks say that they have run")
    parser.add_argument("--ours", required=True, help="the command of our worker, as a JSON list")
    parser.add_argument("--canvases", type=int, default=100)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--pause", type=float, default=3, help="seconds between kills, at least")
    parser.add_argument("--work", type=float, default=0.1, help="seconds that a step takes")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)

    app = Celery("mixed", broker=arguments.broker, backend=arguments.backend)
    app.conf.update(task_default_queue=QUEUE, broker_transport_options={"confirm_publish": True})
    app.set_default()
    environment = {**os.environ, "INTEROP_BROKER": arguments.broker, "INTEROP_BACKEND": arguments.backend, "INTEROP_QUEUE": QUEUE, "INTEROP_TRACES": arguments.traces}
    log = f"mixed-{arguments.seed}-{os.getpid()}"
    canvases = Canvases(app, log, arguments.work, chance)
    done = threading.Event()
    with tempfile.TemporaryDirectory(prefix="mixed-") as folder:
        folder = pathlib.Path(folder)
        workers = [Worker("python", python_worker(QUEUE), environment, folder), Worker("ours", json.loads(arguments.ours), environment, folder)]
        try:
            while len(app.control.ping(timeout=1) or []) < 2:
                pass
            killer = threading.Thread(target=kill_at_random, args=(workers, arguments.kills, arguments.pause, chance, done))
            killer.start()
            made = [canvases.make(number) for number in range(arguments.canvases)]
            # Spread over the kills, so that each meets canvases of every age.
            gap = 1.5 * arguments.pause * arguments.kills / arguments.canvases
            results = [(signature.apply_async(), time.sleep(gap))[0] for signature, _, _ in made]
            killer.join()
            begun = time.monotonic()
            wrong = collect(results, [value for _, value, _ in made], PATIENCE)
            seconds = time.monotonic() - begun
            lines = redis.Redis.from_url(arguments.traces).lrange(log, 0, -1)
            left, missing = left_by_python(wrong, canvases.chords, lines, completed_before(folder / "python.log"))
            left = [wrong.pop(number) for number in left]
            wrong = list(wrong.values())
            worse, told = judge(lines, sum(steps for *_, steps in made) - missing, canvases.before, arguments.kills)
            for line in [f"left by Python: {line}" for line in left] + wrong + worse:
                print(line, file=sys.stderr)
            if wrong or worse:
                for worker in workers:
                    print(f"--- {worker.name}\n" + (folder / f"{worker.name}.log").read_text(errors="replace")[-6000:], file=sys.stderr)
            print(json.dumps({"canvases": arguments.canvases, "wrong": len(wrong + worse), "left_by_python": len(left), "seconds_after_the_last_kill": round(seconds, 1), **told}))
        finally:
            done.set()
            for worker in workers:
                worker.stop()
    sys.exit(1 if wrong or worse else 0)


if __name__ == "__main__":
    main()

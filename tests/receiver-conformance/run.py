"""Runs the scenarios of luckyteagirl/webhook-receiver-conformance against `waybill` on loopback, and prints the results.

    python3 tests/receiver-conformance/run.py --suite PATH/TO/webhook-conformance --waybill target/release/waybill

The suite is not part of this repository: install it beside (`pip install` of a checkout gives `webhook-conformance`).
With WAYBILL_DATABASE_URL and WAYBILL_BROKER_URL in the environment `serve` and `work` run on them; without, `all` runs on
a SQLite file. The suite fixes the time of signatures at 1970, so what must be believed is sent in the language of a
partner that signs no time (Uber Direct), and what must be too old in our own.
"""

import argparse
import hashlib
import http.server
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

SECRET = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
CANARY = "secret-canary@example.invalid"
TOKEN = "a-token-of-the-observer-for-this-run-only"
ADDRESS = {"name": "A. Reader", "line1": "Torstr. 1", "postal_code": "10119", "city": "Berlin", "country": "DE",
           "phone": "+4930000000"}
ONCE = {"max_attempts": 1, "backoff": [], "retry_on": []}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Waybill:
    """The processes under test, in a folder of their own."""

    def __init__(self, program, folder):
        self.program, self.folder, self.running = program, folder, []
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.split = "WAYBILL_BROKER_URL" in os.environ
        self.env = dict(os.environ, WAYBILL_HTTP_ADDR=f"127.0.0.1:{self.port}", WAYBILL_PARTNERS="partners.yaml")
        if self.split:
            self.env.setdefault("WAYBILL_DATA_KEY", "07" * 32)
            self.env.setdefault("WAYBILL_JWT_KEY", "a key for this run, and for nothing else")
            self.env.setdefault("WAYBILL_PUBLIC_URL", self.url)
        uber = {"adapter": "uber", "base_url": "http://127.0.0.1:9", "secrets": [{"id": "k1", "value": SECRET}],
                "credentials": {"key": "k", "secret": "s", "account": "a"}}
        own = {"adapter": "standard", "base_url": "http://127.0.0.1:9",
               "secrets": [{"id": "k1", "value": "whsec_" + SECRET}]}
        (folder / "partners.yaml").write_text(json.dumps({"partners": {"uber": uber, "own": own}, "default": "uber"}))

    def run(self, *arguments):
        ran = subprocess.run([self.program, *arguments], cwd=self.folder, env=self.env, capture_output=True, text=True)
        return ran.stdout if ran.returncode == 0 else None

    def start(self, crash=None):
        env = dict(self.env, **({"WAYBILL_TEST_CRASH": crash} if crash else {}))
        for role in ["serve", "work"] if self.split else ["all"]:
            log = open(self.folder / "waybill.log", "a")
            command = [self.program, role]
            # Only the receiver of callbacks is to crash.
            own = env if role != "work" else self.env
            self.running.append(subprocess.Popen(command, cwd=self.folder, env=own, stdout=log, stderr=log))
        wait("waybill is ready", lambda: ask(self.url + "/readyz")[0] == 200)

    def stop(self):
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait(timeout=60)
        self.running = []

    def order(self, name):
        event = {"event_id": f"evt-{name}", "type": "payment.succeeded", "occurred_at": "2026-11-20T11:00:00Z", "data": {
            "payment_id": f"pay-{name}", "ordering_id": name, "customer_id": "cus-1", "locale": "en",
            "amount": {"minor_units": 4599, "currency": "EUR"}, "pickup": ADDRESS, "dropoff": ADDRESS,
            "items": [{"sku": "b-1", "title": "A book", "quantity": 1, "format": "physical"}]}}
        (self.folder / "payment.json").write_text(json.dumps(event))
        wait("the payment is sent", lambda: self.run("send", "payment.json") is not None)
        found = lambda: self.get(f"/v1/delivery-orders?ordering_id={name}")["items"]
        return wait("the order is there", found)[0]["delivery_order_id"]

    def get(self, path):
        if not hasattr(self, "token"):
            self.token = self.run("token", "--role", "operator", "--sub", "suite", "--ttl", "1h").strip()
        status, body = ask(self.url + path, {"Authorization": f"Bearer {self.token}"})
        assert status == 200, (path, status, body)
        return json.loads(body)


def ask(url, headers=None):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def wait(what, ask_it, seconds=90):
    end = time.monotonic() + seconds
    while True:
        answer = ask_it()
        if answer:
            return answer
        if time.monotonic() > end:
            sys.exit(f"never: {what}")
        time.sleep(0.1)


def observe(waybill, query):
    """What the API says: how often a partner's word moved the order, where it is, how often a callback is stored."""
    order = query["parameters"]["order"]
    log = [row for row in waybill.get(f"/v1/delivery-orders/{order}/log") if row["kind"] != "noted"]
    moved = [row for row in log if row["event"].startswith("PARTNER_")]
    match query["key"]:
        case "processing_count":
            value = len(moved)
        case "state":
            value = log[-1]["to"]
        case "stored":
            value = len(waybill.get(f"/v1/callbacks?event_id={query['parameters']['event']}")["items"])
    kind = {int: "integer", str: "string"}[type(value)]
    return {"key": query["key"], "value_type": kind, "value": value, "sensitive": False}


def serve_observer(waybill):
    capabilities = {"evidence_types": ["integer", "string"], "read_only": True, "idempotent": True,
                    "evidence_keys": ["processing_count", "state", "stored"], "max_queries": 64,
                    "supports_pending": True, "stable_snapshot_ids": True}

    class Observer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.path == "/control/restart":
                waybill.stop()
                waybill.start()
                return self.answer({})
            request = json.loads(body)
            answer = {"protocol_version": "1.0", "request_id": request["request_id"], "status": "ok",
                      "capabilities": capabilities, "snapshot_id": "snapshot_capabilities", "evidence": [], "error": None}
            if request["operation"] == "observe":
                answer["evidence"] = [observe(waybill, query) for query in request["queries"]]
                digest = hashlib.sha256(json.dumps(answer["evidence"]).encode()).hexdigest()
                answer["snapshot_id"] = f"snapshot_{digest}"
            self.answer(answer)

        def answer(self, document):
            text = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Observer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def callback(order, status, event):
    """A status callback of Uber Direct about our order, with what must not be kept in sight."""
    return {"id": event, "kind": "event.delivery_status", "status": status, "created": "2026-11-20T11:00:00Z",
            "delivery_id": f"del_{order[-12:]}", "data": {"external_id": order, "customer_email": CANARY}}


def deliver(event="up", signer="uber", retry=None, **more):
    return {"deliver": {"event": event, "signer": signer, "retry": retry or ONCE, **more}}


def answered(event="up", mode="all-terminal", **expected):
    return {"id": f"answered_{event}", "type": "http-status", "attempt": {"event": event, "mode": mode}, "expected": expected}


def seen(key, expected, order, **parameters):
    query = {"observer": "api", "key": key, "parameters": {"order": order, **parameters}}
    common = {"id": f"seen_{key}", "query": query, "comparator": "eq", "within": "20s", "poll_interval": "100ms"}
    if key == "state":
        return {**common, "type": "eventual-state", "expected": {"value_type": "string", "value": expected}}
    return {**common, "type": "processing-count", "expected": expected}


def applied(order, event):
    return [seen("processing_count", 1, order), seen("state", "PICKED_UP", order), seen("stored", 1, order, event=event)]


def nothing(order, event):
    return [seen("processing_count", 0, order), seen("stored", 0, order, event=event)]


def scenarios(order, event):
    """Name, steps, assertions and what else, of each scenario that says something about a receiver."""
    ok, no = {"codes": [200]}, {"codes": [401]}
    late = lambda **more: {"max_attempts": 8, "backoff": ["1s"] * 7, **more}
    mutated = lambda *mutations: [deliver(mutations=list(mutations))]
    yield "SCN-001", "single-valid-delivery", [deliver()], [answered(**ok), *applied(order, event)], {}
    yield "SCN-002", "sequential-duplicate", [deliver(count=3)], [answered(**ok), *applied(order, event)], {}
    yield ("SCN-003", "concurrent-duplicate", [deliver(count=16, concurrency_group="at_once")],
           [answered(**ok), *applied(order, event)], {})
    yield ("SCN-004", "dependency-order-reversal", [deliver("down"), deliver("up")],
           [answered("up", **ok), answered("down", **ok), seen("processing_count", 2, order), seen("state", "DELIVERED", order)],
           {"down": True})
    yield ("SCN-005", "timeout-then-retry", [deliver(timeout="1ms", retry={
               "max_attempts": 2, "backoff": ["2s"], "retry_on": ["timed_out"]}), deliver()],
           [answered(mode="last-terminal", **ok), *applied(order, event)], {})
    yield ("SCN-006", "connection-failure-then-retry", [deliver(retry=late(retry_on=["connection_failed"]))],
           [answered(mode="last-terminal", **ok), *applied(order, event)], {"down_at_first": True})
    yield ("SCN-007", "missing-signature", mutated({"type": "missing-signature-v1"}),
           [answered(**no), *nothing(order, event)], {})
    for case in ["invalid-encoding", "missing-component", "invalid-delimiter", "duplicate-component"]:
        yield ("SCN-008", f"malformed-signature ({case})", mutated({"type": "malformed-signature-v1", "case": case}),
               [answered(**no), *nothing(order, event)], {})
    yield ("SCN-009", "wrong-key-signature", mutated({"type": "wrong-signing-key-v1", "context": "another"}),
           [answered(**no), *nothing(order, event)], {})
    yield ("SCN-010", "stale-timestamp", [{"wait": "2h"}, deliver(signer="own", mutations=[
               {"type": "stale-signature-timestamp-v1", "age": "1h"}])],
           [answered(**no), *nothing(order, event)], {"path": "own", "scale": "0.001"})
    yield ("SCN-011", "alter-after-signing", mutated({"type": "alter-after-signing-v1", "offset": 20, "xor": 1}),
           [answered(**no), *nothing(order, event)], {})
    yield ("SCN-012", "malformed-body-and-content-type (content type)",
           mutated({"type": "content-type-mismatch-v1", "media_type": "text/plain"}),
           [answered(codes=[415]), *nothing(order, event)], {})
    for strategy in ["truncated-object", "bad-escape", "trailing-comma"]:
        yield ("SCN-012", f"malformed-body-and-content-type ({strategy})",
               mutated({"type": "invalid-json-v1", "strategy": strategy}),
               [answered(**ok), seen("processing_count", 0, order)], {})
    yield ("SCN-013", "receiver-restart-between-attempts", [deliver(), {"restart": "waybill"}, deliver()],
           [answered(**ok), *applied(order, event)], {})
    for point in ["before-commit", "after-store", "before-answer"]:
        yield ("SCN-015", f"partial-processing (killed {point})",
               [deliver()], [answered(**ok), *applied(order, event)], {"crash": point})
    yield "SCN-016", "redaction-canary", [deliver()], [answered(**ok), *applied(order, event)], {"canary": True}


def configuration(waybill, observer, folder, name, steps, assertions, more):
    events = [{"id": "up", "fixture": "up"}] + ([{"id": "down", "fixture": "down", "depends_on": ["up"]}] if more.get("down") else [])
    python = ["python3", "-c", "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], data=b'', timeout=100)",
              f"http://127.0.0.1:{observer}/control/restart"]
    return {
        "schema_version": 1,
        "project": {"name": "waybill", "artifact_directory": "artifacts", "seed": name},
        "receiver": {
            "url": f"{waybill.url}/webhooks/{more.get('path', 'uber')}", "target_profile": "loopback",
            "allowed_hosts": ["127.0.0.1"], "allowed_ports": [waybill.port],
            "timeouts": {part: "5s" for part in ["connect", "write", "read", "pool"]} | {"total": "30s"}},
        "fixtures": [{"id": event["id"], "path": f"{event['id']}.json", "media_type": "application/json",
                      "event_type_pointer": "/status"} for event in events],
        "signers": {
            "uber": {"profile": "generic-hmac-sha256", "secret": {"env": "SUITE_SECRET"}, "header_name": "X-Uber-Signature"},
            "own": {"profile": "standard-webhooks-hmac", "secret": {"env": "SUITE_OWN_SECRET"}}},
        "observers": {"api": {"type": "http", "base_url": f"http://127.0.0.1:{observer}", "token": {"env": "SUITE_TOKEN"},
                              "timeouts": {"connect": "5s", "read": "20s", "total": "30s"}}},
        "lifecycles": {"waybill": {
            "enabled": True, "stop_argv": python, "start_argv": python, "restart_argv": python, "working_directory": ".",
            "environment_allowlist": [], "timeout": "120s", "readiness_observer": "api"}},
        "clock": {"mode": "scaled", "scale": more["scale"]} if "scale" in more else {"mode": "real"},
        "limits": {"max_events": 100, "max_attempts": 500, "max_concurrency": 16, "max_request_bytes": 1048576,
                   "max_response_capture_bytes": 65536},
        "scenarios": [{"id": "scenario", "events": events, "steps": steps, "assertions": assertions}],
        "reports": {"formats": ["json"], "redaction": {
            "headers": ["authorization", "x-uber-signature"], "json_pointers": ["/data/customer_email"],
            "retain_raw_payloads": False}},
    }


def revive(waybill, crashed):
    """Starts again what a crash has ended."""
    while not crashed.is_set():
        if any(process.poll() is not None for process in waybill.running):
            for process in waybill.running:
                process.kill()
                process.wait()
            waybill.running = []
            waybill.start()
            crashed.set()
        time.sleep(0.05)


def run(waybill, observer, suite, folder, scenario):
    number, name, steps, assertions, more = scenario
    crashed = threading.Event()
    if more.get("crash"):
        # Nobody knows what became of a request whose receiver died: the suite calls that run ambiguous and evaluates
        # nothing. Judged is the partner's next attempt.
        waybill.stop()
        waybill.start(more["crash"])
        threading.Thread(target=revive, args=(waybill, crashed), daemon=True).start()
        verdict, text = run(waybill, observer, suite, folder, (number, name, steps, assertions, {}))
        wait("it was killed and is there again", crashed.is_set)
        if not verdict.startswith("0 of"):
            return f"it was not killed: {verdict}", text
    if more.get("down_at_first"):
        waybill.stop()
        threading.Timer(4, waybill.start).start()
    config = configuration(waybill, observer, folder, f"{number} {name}", steps, assertions, more)
    (folder / "config.yaml").write_text(json.dumps(config))
    env = dict(os.environ, SUITE_SECRET=SECRET, SUITE_OWN_SECRET="whsec_" + SECRET, SUITE_TOKEN=TOKEN)
    ran = subprocess.run([suite, "run", "--config", "config.yaml"], cwd=folder, env=env, capture_output=True, text=True)
    text = ran.stdout + ran.stderr
    said = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    if "Run directory" not in said:
        return f"exit {ran.returncode}", text
    # The verdict on a run is `receiver_failure` wherever a request was answered 4xx, also where the scenario asks for
    # that: what counts is each of its assertions.
    records = pathlib.Path(said["Run directory"], "assertions.jsonl").read_text().splitlines()
    records = [json.loads(record) for record in records]
    failed = [f"{record['type']}: {record['comparison']}" for record in records if record["result"] != "pass"]
    if len(records) != len(assertions):
        failed.append(f"{len(records)} of {len(assertions)} assertions were evaluated")
    return "; ".join(failed) or "pass", text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", required=True, help="the program webhook-conformance")
    parser.add_argument("--waybill", required=True, help="the program waybill; a debug build, for the crashes")
    parser.add_argument("--only", help="only scenarios whose number or name has this in it")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    suite, program = (str(pathlib.Path(path).absolute()) for path in (options.suite, options.waybill))
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        waybill = Waybill(program, folder)
        if waybill.split:
            waybill.run("migrate")
        waybill.start()
        observer = serve_observer(waybill)
        count = sum(1 for _ in scenarios("", ""))
        for place in range(count):
            peek = list(scenarios("", ""))[place]
            if options.only and options.only not in f"{peek[0]} {peek[1]}":
                continue
            order, event = waybill.order(f"ord-{place}"), f"evt_{place}"
            (folder / "up.json").write_text(json.dumps(callback(order, "pickup_complete", event)))
            (folder / "down.json").write_text(json.dumps(callback(order, "delivered", event + "_down")))
            scenario = list(scenarios(order, event))[place]
            verdict, text = run(waybill, observer, suite, folder, scenario)
            if scenario[4].get("canary"):
                shown = [(folder / "waybill.log").read_text(), waybill.run("callbacks", "list"), waybill.run("status"),
                         json.dumps(waybill.get("/v1/callbacks?limit=200")["items"])]
                verdict = "leaked" if any(CANARY in text for text in shown) else verdict
            results.append((scenario[0], scenario[1], verdict))
            print(f"| {scenario[0]} | {scenario[1]} | {verdict} |", flush=True)
            if options.verbose:
                print(text)
        audit = waybill.run("audit", "verify")
        print(f"audit: {'good' if audit is not None else 'BAD'}")
        waybill.stop()
    sys.exit(0 if audit is not None and all(verdict == "pass" for _, _, verdict in results) else 1)


main()

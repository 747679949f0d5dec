# SPDX-License-Identifier: Apache-2.0
"""What every black-box test needs: one `till dev` on free loopback ports with a data folder of its own.

Nothing here knows the program's inside. A test class derives from `Case`, which starts one server for all its tests and,
when they are done, stops it by SIGTERM, which has to end with exit status 0 within 10 s. Tests of one class share the
server: each makes SKUs of its own, and looks only at its own orders.
"""
import atexit
import contextlib
import http.client
import http.server
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
from datetime import datetime, timezone
from urllib.parse import quote, urlsplit

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TILL = os.path.abspath(os.environ.get("TILL_BIN") or os.path.join(ROOT, "build", "till"))
LIMIT_S = 15  # no request takes longer than this; /dev/clock may take 10 s

ORDER_STATES = {"placed", "awaiting_payment", "closing", "paid", "cancelled"}
PAYMENT_STATES = {"creating", "waiting", "captured", "closing", "closed", "refunding", "refunded", "failed", "held",
                  "mismatched"}
# What a state may be followed by; `cancelled` to `paid` exists only under late_payment=reopen or an operator's word.
NEXT = {"placed": {"awaiting_payment", "closing", "paid"}, "awaiting_payment": {"paid", "closing"},
        "closing": {"paid", "cancelled"}, "paid": set(), "cancelled": set()}
EVENT_TYPES = {"order.placed", "order.awaiting_payment", "order.paid", "order.closing", "order.cancelled",
               "payment.late", "payment.duplicate", "payment.mismatch", "refund.succeeded", "refund.failed"}
RFC3339_MS = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

_names = itertools.count(1)


def name(prefix="sku"):
    """A name no other test uses."""
    return f"{prefix}-{os.getpid()}-{next(_names)}"


def free_ports(n):
    """Ports nobody listens on, all held at once so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


def instant(text):
    """An instant of the API as seconds since 1970; anything but RFC 3339 UTC with milliseconds is refused."""
    assert RFC3339_MS.match(text or ""), f"not RFC 3339 UTC with milliseconds: {text!r}"
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body.decode("utf-8"))

    def __repr__(self):
        return f"<{self.status} {self.body[:600]!r}>"


def call(base, method, path, body=None, headers=None, timeout=LIMIT_S):
    """One request on a connection of its own. A dict or list becomes JSON; bytes and str go as they are."""
    headers = dict(headers or {})
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode("utf-8")
    if body is not None and "Content-Type" not in headers:
        headers["Content-Type"] = "application/json"
    url = urlsplit(base)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def raw(base, data, timeout=5):
    """Bytes on the wire, as http.client would refuse to send them; returns all that comes back until close or silence."""
    url = urlsplit(base)
    with socket.create_connection((url.hostname, url.port), timeout=timeout) as s:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            s.sendall(data)
        out = b""
        with contextlib.suppress(socket.timeout, ConnectionResetError):
            while True:
                part = s.recv(65536)
                if not part:
                    break
                out += part
                head, found, rest = out.partition(b"\r\n\r\n")
                length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
                if found and length and len(rest) >= int(length.group(1)):
                    break
        return out


def wait_for(probe, limit_s=5.0, what="it", every_s=0.02):
    """The first true value of probe(), or a failure that shows the last one."""
    end = time.monotonic() + limit_s
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen within {limit_s} s; last seen: {value!r}")
        time.sleep(every_s)


def run_till(*args, env=None, cwd=None, timeout=30):
    """A command to its end: exit status, stdout, stderr (text)."""
    full_env = {k: v for k, v in os.environ.items() if not k.startswith("TILL_")}
    full_env.update(env or {})
    with tempfile.TemporaryDirectory(prefix="till-cli-") as elsewhere:
        done = subprocess.run([TILL, *map(str, args)], env=full_env, cwd=cwd or elsewhere, timeout=timeout,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


class Process:
    """One `till` process that serves, with its stderr in a file; stopped only by its own pid."""

    def __init__(self, args, ready_url, log_path):
        self.args, self.ready_url, self.log_path = list(map(str, args)), ready_url, log_path
        self.process = None

    def start(self, limit_s=60):
        env = {k: v for k, v in os.environ.items() if not k.startswith("TILL_")}
        with open(self.log_path, "ab") as log, open(self.log_path + ".out", "ab") as out:
            self.process = subprocess.Popen([TILL, *self.args], stdin=subprocess.DEVNULL, stdout=out, stderr=log, env=env,
                                            cwd=os.path.dirname(self.log_path))
        end = time.monotonic() + limit_s
        while True:
            if self.process.poll() is not None:
                raise AssertionError(f"till {' '.join(self.args)} ended with {self.process.returncode}: {self.log()[-2000:]!r}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                if call(self.ready_url[0], "GET", self.ready_url[1], timeout=2).status == 200:
                    return self
            if time.monotonic() > end:
                self.kill()
                raise AssertionError(f"till {' '.join(self.args)} was not ready in {limit_s} s: {self.log()[-2000:]!r}")
            time.sleep(0.02)

    def log(self):
        with open(self.log_path, "rb") as f:
            return f.read()

    def out(self):
        with open(self.log_path + ".out", "rb") as f:
            return f.read()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill -9: no warning, no farewell."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)

    def stop(self, limit_s=10):
        """SIGTERM; returns the exit status and how long it took."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"till {' '.join(self.args)} did not end within {limit_s} s of SIGTERM") from None
        return status, time.monotonic() - begin


class Keys:
    """The sandbox's key pairs take a processor two seconds to make, so they are made once and lent to every server whose data
    are its own. TILL_TEST_KEYS is a directory for several programs at once; without it each makes its own."""
    _dir = None

    @classmethod
    def path(cls):
        if cls._dir is None:
            cls._dir = os.environ.get("TILL_TEST_KEYS") or tempfile.mkdtemp(prefix="till-keys-")
            if "TILL_TEST_KEYS" not in os.environ:
                atexit.register(shutil.rmtree, cls._dir, True)
        return os.path.join(cls._dir, "keys")

    @classmethod
    def lend(cls, to):
        with contextlib.suppress(FileNotFoundError):
            shutil.copytree(cls.path(), to)

    @classmethod
    def keep(cls, made):
        """Whole or not at all; whoever comes second has made his in vain."""
        if not os.path.exists(cls.path()):
            copy = tempfile.mkdtemp(dir=os.path.dirname(cls.path()))
            shutil.copytree(made, copy, dirs_exist_ok=True)
            try:
                os.rename(copy, cls.path())
            except OSError:
                shutil.rmtree(copy)


class Till:
    """`till dev` and what a shop, a buyer and an operator do with it. `stranger`: at another merchant's, with keys of his own."""

    def __init__(self, *flags, data=None, public_url=None, stranger=False):
        port, sandbox_port = free_ports(2)
        self.url, self.sandbox = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{sandbox_port}"
        self.own_data, self.stranger = data is None, stranger
        self.data = data or tempfile.mkdtemp(prefix="till-http-")
        args = ["dev", "--listen", f"127.0.0.1:{port}", "--sandbox-listen", f"127.0.0.1:{sandbox_port}",
                "--data", self.data]
        if public_url:
            args += ["--server.public_url", public_url]
        self.server = Process(args + list(flags), (self.url, "/readyz"), os.path.join(self.data, "stderr.log"))

    def start(self):
        keys, lent = os.path.join(self.data, "keys"), self.own_data and not self.stranger
        if lent:
            Keys.lend(keys)
        self.server.start()
        if lent:
            Keys.keep(keys)
        return self

    def restart(self):
        self.server.start()

    def kill(self):
        self.server.kill()

    def stop(self):
        return self.server.stop()

    def log(self):
        return self.server.log()

    def clean(self):
        if self.server.alive():
            self.server.kill()
        if self.own_data:
            shutil.rmtree(self.data, ignore_errors=True)

    # HTTP

    def call(self, method, path, body=None, headers=None, timeout=LIMIT_S):
        return call(self.url, method, path, body, headers, timeout)

    def wallet(self, method, path, body=None, timeout=LIMIT_S):
        return call(self.sandbox, method, path, body, timeout=timeout)

    def good(self, method, path, body=None, status=(200, 201), headers=None):
        """A request that has to succeed; its JSON."""
        answer = self.call(method, path, body, headers)
        assert answer.status in status, f"{method} {path} {body!r} -> {answer!r}"
        assert answer.headers["Content-Type"].startswith("application/json"), answer.headers["Content-Type"]
        return answer.json

    # stock, orders

    def sku(self, stock=10, price=100, sku=None, title="a thing"):
        sku = sku or name()
        self.good("PUT", f"/v1/skus/{quote(sku, safe='')}", {"title": title, "price": price, "stock": stock}, (201,))
        return sku

    def stock(self, sku):
        it = self.good("GET", f"/v1/skus/{quote(sku, safe='')}")
        return it["available"], it["held"], it["sold"]

    def place(self, sku=None, quantity=1, channel="alipay", headers=None, **more):
        body = dict(more)
        if sku:
            body["items"] = [{"sku": sku, "quantity": quantity}]
        if channel:
            body["channel"] = channel
        return self.good("POST", "/v1/orders", body, (201,), headers)

    def order(self, order_id):
        return self.good("GET", f"/v1/orders/{order_id}")

    def until(self, order_id, state, limit_s=5.0):
        return wait_for(lambda: (lambda o: o if o["state"] == state else None)(self.order(order_id)), limit_s,
                        f"{state} of {order_id}")

    def refunds(self, order_id):
        return self.good("GET", f"/v1/orders/{order_id}/refunds")["data"]

    def timeline(self, order_id):
        return self.good("GET", f"/v1/orders/{order_id}/timeline")["data"]

    def events(self, order_id=None):
        """Every event there is, or one order's, oldest first."""
        found, after = [], None
        for _ in range(10000):
            page = self.good("GET", "/v1/events?limit=200" + (f"&after={after}" if after else ""))
            found += page["data"]
            if not page["has_more"]:
                break
            after = page["data"][-1]["id"]
        return [e for e in found if order_id in (None, e["order"])]

    def all(self, path):
        """Every row of a cursor-paged list."""
        rows, cursor = [], None
        for _ in range(10000):
            page = self.good("GET", f"{path}{'&' if '?' in path else '?'}limit=200" + (f"&cursor={quote(cursor)}" if cursor else ""))
            rows += page["data"]
            if not page["has_more"]:
                return rows
            cursor = page["next_cursor"]
        raise AssertionError(f"{path} never ends")

    # the buyer's phone

    def scan(self, code):
        return self.wallet("POST", "/wallet/scan", {"code": code})

    def pay(self, code):
        return self.wallet("POST", "/wallet/pay", {"code": code})

    def scan_and_pay(self, order):
        code = order["payment"]["qr_code"]
        scanned = self.scan(code)
        assert scanned.status == 200, repr(scanned)
        paid = self.pay(code)
        assert paid.status == 200, repr(paid)
        assert paid.json["state"] == "paid", paid.json
        return paid.json

    def faults(self, **faults):
        answer = self.wallet("PUT", "/wallet/faults", faults)
        assert answer.status in (200, 204), repr(answer)

    def no_faults(self):
        answer = self.wallet("DELETE", "/wallet/faults")
        assert answer.status in (200, 204), repr(answer)

    def ledger(self):
        return self.wallet("GET", "/wallet/ledger").json

    # time

    def advance(self, how_far, settled=True):
        answer = self.call("POST", "/dev/clock", {"advance": how_far})
        assert answer.status == 200, repr(answer)
        if settled:
            assert answer.json["settled"] is True, answer.json
        return answer.json

    def now(self):
        return instant(self.good("GET", "/dev/clock")["now"])

    # the truth

    def audit(self):
        """Exit status and output of `till audit` beside the live server, compared with the provider's own ledger."""
        return run_till("audit", "--store", f"sqlite:{self.data}/till.db", "--sandbox", self.sandbox, "--json")

    def metrics(self):
        answer = self.call("GET", "/metrics")
        assert answer.status == 200, repr(answer)
        values = {}
        for line in answer.body.decode().splitlines():
            if line and not line.startswith("#"):
                key, value = line.rsplit(" ", 1)
                values[key] = float(value)
        return values

    def notices_refused(self):
        return sum(v for k, v in self.metrics().items() if k.startswith("till_notifications_refused_total"))

    def snapshot(self):
        """All that a caller can see of the state, to compare before and after something that must change nothing."""
        orders = self.all("/v1/orders")
        return {"skus": self.all("/v1/skus"), "orders": orders, "events": self.events(),
                "refunds": {o["id"]: self.refunds(o["id"]) for o in orders},
                "timelines": {o["id"]: self.timeline(o["id"]) for o in orders}}


class Case(unittest.TestCase):
    """Tests that share one server. FLAGS go to `till dev`."""
    FLAGS = ()
    PUBLIC_URL = None
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        cls.till = Till(*cls.FLAGS, public_url=cls.PUBLIC_URL)
        cls.addClassCleanup(cls.till.clean)
        cls.till.start()

    @classmethod
    def tearDownClass(cls):
        if not cls.till.server.alive():
            raise AssertionError(f"till ended by itself with {cls.till.server.process.returncode}; "
                                 f"its last words: {cls.till.log()[-2000:]!r}")
        status, seconds = cls.till.stop()
        if status != 0:
            raise AssertionError(f"SIGTERM ended with {status} after {seconds:.1f} s: {cls.till.log()[-2000:]!r}")

    def setUp(self):
        self.assertTrue(self.till.server.alive(), "the server is gone")

    # What many tests ask for

    def problem(self, answer, status, code=None, pointer=None):
        """One RFC 9457 problem, with a stable code. `status` and `code` may be tuples of what is acceptable."""
        allowed = status if isinstance(status, tuple) else (status,)
        self.assertIn(answer.status, allowed, repr(answer))
        self.assertEqual(answer.headers["Content-Type"].split(";")[0].strip(), "application/problem+json", repr(answer))
        it = answer.json
        for field in ("type", "title", "status", "detail", "code"):
            self.assertIn(field, it, f"RFC 9457 member missing: {it}")
        self.assertEqual(it["status"], answer.status, "the status member repeats the status")
        self.assertRegex(it["code"], r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", "code is snake_case")
        if code is not None:
            self.assertIn(it["code"], code if isinstance(code, tuple) else (code,), repr(answer))
        if pointer is not None:
            self.assertEqual(it.get("pointer"), pointer, repr(answer))
        return it

    def unchanged(self, before, what=""):
        after = self.till.snapshot()
        for part in before:
            self.assertEqual(before[part], after[part], f"{part} changed {what}")

    def assert_stock(self, sku, available, held, sold):
        self.assertEqual(self.till.stock(sku), (available, held, sold), f"(available, held, sold) of {sku}")

    def assert_audit(self):
        status, out, err = self.till.audit()
        self.assertEqual(status, 0, f"till audit: {out} {err}")
        self.assertNotIn("BROKEN", out)

    def assert_lived_well(self, order_id):
        """The order's timeline and events are such as the contract allows, and tell the same story."""
        states = [(row.get("from"), row["to"]) for row in self.till.timeline(order_id) if row["kind"] == "state"]
        self.assertTrue(states, "a timeline begins with the first state")
        for (_, left), (came_from, to) in zip(states, states[1:]):
            self.assertEqual(left, came_from, states)
            self.assertIn(to, NEXT[came_from], states)
        events = self.till.events(order_id)
        self.assertEqual([e["sequence"] for e in events], list(range(1, len(events) + 1)), "sequence has no gap")
        told = [e["type"].partition(".")[2] for e in events if e["type"].startswith("order.")]
        self.assertEqual(told, [to for _, to in states], "events and timeline tell the same states")


class MoneyCase(Case):
    """Money: whatever is captured is the order's own or goes back, exactly once and in full."""

    def paid(self, quantity=2, price=100, **more):
        order = self.till.place(self.till.sku(price=price), quantity, **more)
        self.till.scan_and_pay(order)
        return self.till.until(order["id"], "paid", 1.5)

    def refund(self, order, **body):
        return self.till.call("POST", f"/v1/orders/{order['id']}/refunds", body)

    def settle(self, how_far="10m", times=12):
        """Time passes until nothing is due, however often a call in flight keeps the clock from settling."""
        for _ in range(times):
            if self.till.advance(how_far, settled=False)["settled"]:
                return
        self.fail("the clock never settles")

    def assert_books_balance(self):
        """What the provider captured and gave back is what the orders say; then the audit says so too."""
        ledger = self.till.ledger()
        orders = self.till.all("/v1/orders")
        kept = sum(o["paid_amount"] - o["refunded_amount"] for o in orders if o["state"] == "paid")
        self.assertEqual(ledger["captured"] - ledger["refunded"], kept, ledger)
        self.assert_audit()


class Recorder:
    """Stands where Till's public address is: keeps what the provider sends there and, unless told otherwise, passes it
    on. So a test gets hold of genuine notifications, to repeat, reorder or alter them."""

    def __init__(self):
        self.notices, self.target, self.forward = [], None, True
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "content-length", "connection")}
                status, out = 503, b"later"
                if recorder.forward and recorder.target:
                    with contextlib.suppress(OSError, http.client.HTTPException):
                        answer = call(recorder.target, "POST", self.path, body, headers)
                        status, out = answer.status, answer.body
                recorder.notices.append((self.path, headers, body, status, out))
                self.send_response(status)
                self.send_header("Content-Length", str(len(out)))
                self.end_headers()
                self.wfile.write(out)

            def log_message(self, *_):
                pass

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}"
        self.thread = threading.Thread(target=self.httpd.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def of(self, out_trade_no):
        return [n for n in self.notices if out_trade_no.encode() in n[2]]

    def close(self):
        self.httpd.shutdown()
        self.httpd.server_close()
        self.thread.join(5)


def at_once(*jobs, limit_s=60):
    """Runs the jobs in threads that begin together; returns what each returned, in order. A job's failure is raised."""
    results, gate = [None] * len(jobs), threading.Barrier(len(jobs))

    def work(i, job):
        gate.wait(10)
        try:
            results[i] = (True, job())
        except BaseException as e:  # handed to the test, which is in another thread
            results[i] = (False, e)

    threads = [threading.Thread(target=work, args=(i, j), daemon=True) for i, j in enumerate(jobs)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(limit_s)
        assert not t.is_alive(), f"it did not end within {limit_s} s"
    for ok, value in results:
        if not ok:
            raise value
    return [value for _, value in results]


def read_qr(png):
    """What a scanner reads from a picture."""
    with tempfile.TemporaryDirectory(prefix="till-qr-") as folder:
        path = os.path.join(folder, "code.png")
        with open(path, "wb") as f:
            f.write(png)
        done = subprocess.run(["zbarimg", "--quiet", "--raw", "-Sdisable", "-Sqrcode.enable", path],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode("utf-8").removesuffix("\n")

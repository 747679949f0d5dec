# SPDX-License-Identifier: Apache-2.0
"""What stands between Till and the providers: a network that loses, holds, delays and spoils, as told.

One address serves both ways. What Till asks goes to the sandbox; what the sandbox tells, and what a wallet opens, goes to
Till. Each request is a `Call`; `on()` says what becomes of those of a kind. A connection serves one request, so that no
client takes a lost answer for a connection that was dead before, and sends again by itself.
"""
import contextlib
import functools
import http.client
import http.server
import json
import threading
from urllib.parse import parse_qsl, urlsplit

from harness import LIMIT_S, Answer, MoneyCase, Till, call as http_call, wait_for

ALIPAY = {"alipay.trade.precreate": "create", "alipay.trade.query": "query", "alipay.trade.close": "close", "alipay.trade.cancel": "cancel",
          "alipay.trade.refund": "refund", "alipay.trade.fastpay.refund.query": "refund_query"}
OF_THE_CONNECTION = {"host", "content-length", "connection", "transfer-encoding", "accept-encoding"}


class Call:
    """A request on its way. `method` is create, query, close, cancel, refund, refund_query or notify, else the path."""

    def __init__(self, verb, path, headers, body):
        self.verb, self.path, self.headers, self.body, self.answer = verb, path, headers, body, None
        self.channel, self.method, self.said = None, urlsplit(path).path, {}
        steps = self.method.strip("/").split("/")
        if steps[0] == "gateway.do":
            self.read_alipay()
        elif steps[0] == "notify":
            self.channel, self.method = steps[-1], "notify"
        elif steps[:1] == ["v3"]:
            self.read_wechatpay(steps)

    def read_alipay(self):
        fields = dict(parse_qsl(urlsplit(self.path).query) + parse_qsl(self.body.decode()))
        self.channel, self.method = "alipay", ALIPAY.get(fields.get("method"), fields.get("method"))
        self.said = json.loads(fields.get("biz_content", "{}"))

    def read_wechatpay(self, steps):
        self.channel, self.said = "wechatpay", json.loads(self.body or b"{}")
        if steps[1:3] == ["pay", "transactions"]:
            self.method = {4: "create", 5: "query", 6: "close"}[len(steps)]
            if self.method != "create":
                self.said["out_trade_no"] = steps[4]
        elif steps[1] == "refund":
            self.method = "refund" if self.verb == "POST" else "refund_query"
            if self.method == "refund_query":
                self.said["out_refund_no"] = steps[-1]

    @property
    def number(self):
        return self.said.get("out_trade_no")

    @property
    def refund_number(self):
        return self.said.get("out_request_no") or self.said.get("out_refund_no")

    def __repr__(self):
        return f"<{self.channel} {self.method} {self.number} {self.answer!r}>"


class Proxy:
    def __init__(self):
        self.till = self.sandbox = None  # addresses
        self.calls, self.rules, self.lock = [], [], threading.Lock()
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {k: v for k, v in self.headers.items() if k.lower() not in OF_THE_CONNECTION}
                answer = proxy.serve(Call(self.command, self.path, headers, body))
                if answer is None:
                    return  # the connection ends, and nobody has said anything
                with contextlib.suppress(OSError):  # who asked may have gone
                    self.send_response_only(answer.status)
                    for k, v in answer.headers.items():
                        if k.lower() not in OF_THE_CONNECTION:
                            self.send_header(k, v)
                    if answer.status != 204:
                        self.send_header("Content-Length", str(len(answer.body)))
                    self.end_headers()
                    self.wfile.write(answer.body)

            do_GET = do_POST = serve

            def log_message(self, *_):
                pass

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}"
        self.thread = threading.Thread(target=self.httpd.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def on(self, method, do, times=None, **of):
        """The next `times` calls of this method, or all, go through `do(call, deliver)`: it returns the answer the asker
        gets, None for none at all; deliver() hands the call over, whenever. `of`: only of this channel, this number.
        The newest rule goes first. Returns `do`."""
        with self.lock:
            self.rules.insert(0, [method, do, times, of])
        return do

    def take(self, call):
        """What is to be done with it, or None."""
        with self.lock:
            self.calls.append(call)
            for rule in self.rules:
                method, do, times, of = rule
                if method == call.method and all(getattr(call, k) == v for k, v in of.items()) and times != 0:
                    rule[2] = times and times - 1
                    return do
        return None

    def serve(self, call):
        def deliver():
            there = self.till if call.method == "notify" or call.path.startswith("/pay/") else self.sandbox
            call.answer = None
            try:
                call.answer = http_call(there, call.verb, call.path, call.body or None, call.headers)
            except (OSError, http.client.HTTPException):
                pass  # it is away, and so nobody says anything
            return call.answer

        do = self.take(call)
        return do(call, deliver) if do else deliver()

    def asked(self, method, number=None):
        """The calls of a method so far, oldest first; those about one number."""
        with self.lock:
            return [c for c in self.calls if c.method == method and number in (None, c.number)]

    def calm(self):
        """All is well again: no rules, and what was held goes on."""
        with self.lock:
            rules, self.rules = self.rules, []
        for rule in rules:
            if isinstance(rule[1], Gate):
                rule[1].open()

    def close(self):
        self.calm()
        self.httpd.shutdown()
        self.httpd.server_close()
        self.thread.join(5)


# --- What may become of a call


def lost(_call, _deliver):
    """It never arrives."""
    return None


def unheard(_call, deliver):
    """It arrives, and its answer is lost."""
    deliver()
    return None


def spoilt(how):
    """Its answer's body is another: how(body)."""
    def do(_call, deliver):
        answer = deliver()
        return answer and Answer(answer.status, answer.headers, how(answer.body))
    return do


class Gate:
    """Holds a call before it is handed over, or else its answer, until open()."""

    def __init__(self, before):
        self.before, self.came, self.is_open = before, threading.Event(), threading.Event()
        self.call = self.answer = None

    def __call__(self, call, deliver):
        self.call = call
        if not self.before:
            self.answer = deliver()
        self.came.set()
        self.is_open.wait(LIMIT_S)
        if self.before:
            self.answer = deliver()
        return self.answer

    def wait(self, limit_s=5):
        assert self.came.wait(limit_s), f"nothing came to the gate within {limit_s} s"

    def open(self):
        self.is_open.set()


class Late:
    """Nothing is handed over, and nothing answered, until deliver(): a packet on a long way."""

    def __init__(self):
        self.came, self.deliver, self.call = threading.Event(), None, None

    def __call__(self, call, deliver):
        self.call, self.deliver = call, deliver
        self.came.set()
        return None


class Echo:
    """Answers as the first call was answered, for ever: a provider that reads from a copy which lags."""

    def __init__(self):
        self.answer = None

    def __call__(self, _call, deliver):
        self.answer = self.answer or deliver()
        return self.answer


# --- Tests behind it


def both(test):
    """The same of either provider."""
    @functools.wraps(test)
    def run(self):
        for channel in ("alipay", "wechatpay"):
            with self.subTest(channel):
                self.calm()
                test(self, channel)
    return run


class FaultCase(MoneyCase):
    """One `till dev` that reaches its gateways, and is reached by them, through a proxy."""

    @classmethod
    def setUpClass(cls):
        cls.proxy = Proxy()
        cls.addClassCleanup(cls.proxy.close)
        cls.till = Till("--alipay.gateway", cls.proxy.url + "/gateway.do", "--wechatpay.base_url", cls.proxy.url, *cls.FLAGS,
                        public_url=cls.proxy.url)
        cls.addClassCleanup(cls.till.clean)
        cls.proxy.till, cls.proxy.sandbox = cls.till.url, cls.till.sandbox
        cls.till.start()

    def setUp(self):
        super().setUp()
        self.addCleanup(self.calm)

    def calm(self):
        self.proxy.calm()
        self.till.no_faults()

    def new(self, channel, quantity=2, stock=10, **more):
        """A SKU and an order of it that waits for money."""
        sku = self.till.sku(stock=stock)
        order = self.till.place(sku, quantity, channel=channel, **more)
        self.assertEqual(order["state"], "awaiting_payment", order)
        return sku, order, order["payment"]["out_trade_no"]

    def state(self, order):
        return self.till.order(order["id"])["state"]

    def cancel(self, order, status=200):
        answer = self.till.call("POST", f"/v1/orders/{order['id']}/cancel", {"reason": "buyer"})
        self.assertEqual(answer.status, status, repr(answer))
        return answer.json

    def types(self, order):
        return [e["type"] for e in self.till.events(order["id"])]

    def trade(self, number):
        return self.till.wallet("GET", f"/wallet/trades/{number}").json

    def until_refunded(self, order, amounts, limit_s=5):
        """All refunds of the order have succeeded, and are of these amounts."""
        def probe():
            rows = self.till.refunds(order["id"])
            return sorted((r["amount"], r["state"]) for r in rows) == sorted((a, "succeeded") for a in amounts)
        with contextlib.suppress(AssertionError):
            wait_for(probe, 0.5)
        self.settle("1m")  # WeChat Pay's take a while
        wait_for(probe, limit_s, f"refunds {amounts} of {order['id']}")

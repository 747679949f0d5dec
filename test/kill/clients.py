# SPDX-License-Identifier: Apache-2.0
"""What merchants and buyers do while the server is killed under them, and what they were told: the histories.

Everything a client chooses comes from its dice. A request whose answer was lost is sent again, the same bytes under the
same key, until somebody answers.
"""
import json
import threading
import time

from world import AWAY, require

ANSWER_LIMIT_S = 30
PRICE_FEN = 700


class Order:
    """One order as its client knows it."""

    def __init__(self, first, body, round_no):
        self.id, self.first, self.body, self.round_no = first["id"], first, body, round_no
        self.seen = first  # as it was shown last; versions only grow from there
        self.codes = [first["payment"]["qr_code"]] if "qr_code" in first.get("payment", {}) else []
        self.captures, self.refunds = 0, {}
        self.is_cancelled = self.is_settled = False

    def quantity(self, sku):
        return sum(it["quantity"] for it in self.first["items"] if it["sku"] == sku)


class Book:
    """All that was answered with 2xx. What is in here may be counted on."""

    def __init__(self):
        self.lock = threading.Lock()
        self.orders, self.added, self.said = {}, {}, []
        self.carts = {}  # name -> lines that must be in it
        self.n_answers = self.n_lost = self.captured_fen = 0

    def place(self, order):
        with self.lock:
            self.orders[order.id] = order

    def stock(self, sku, add):
        with self.lock:
            self.added[sku] = self.added.get(sku, 0) + add


class Client:
    def __init__(self, book, dice, name, world):
        self.book, self.dice, self.name = book, dice, name
        self.shop, self.wallet = world.shop_line(), world.wallet_line()
        self.mine, self.said, self.n = [], [], 0
        self.skus, self.round_no = [], 0

    def begin(self, round_no, skus):
        """Old orders stay in reach: what happens to them happens after a crash or two."""
        self.round_no, self.skus = round_no, skus
        self.mine, self.said = self.mine[-30:], self.said[-60:]

    def run(self, over):
        works = [(self.place, 44), (self.pay, 22), (self.cancel, 9), (self.refund, 8), (self.add_stock, 6),
                 (self.repeat, 7), (self.repeat_number, 3), (self.another_code, 4)]
        while not over.is_set():
            self.dice.choices([w for w, _ in works], [n for _, n in works])[0]()

    # One request, to its answer

    def insist(self, method, path, body=None, headers=None):
        """The answer that was meant for this request, however often it takes to hear it."""
        end = time.monotonic() + ANSWER_LIMIT_S
        while True:
            try:
                answer = self.shop.call(method, path, body, headers)
                again = answer.status == 503 or (answer.status == 409 and answer.json["code"] == "idempotency_in_progress")
                if not again:
                    self.book.n_answers += 1
                    return answer
            except AWAY:
                self.book.n_lost += 1
                answer = None
            require(time.monotonic() < end, f"{method} {path} {body} gets no answer in {ANSWER_LIMIT_S} s, at last {answer!r}")
            time.sleep(0.003)

    def post(self, path, body, refusals):
        """A POST under a key of its own. None: refused, as the contract allows here."""
        self.n += 1
        text, headers = json.dumps(body), {"Idempotency-Key": f"{self.name}-{self.n}"}
        answer = self.insist("POST", path, text, headers)
        if answer.status in (200, 201):
            self.said.append((path, text, headers, answer.body))
            return answer.json
        require(answer.json["code"] in refusals, f"POST {path} {text} is answered {answer!r}")
        return None

    def order(self, wanted):
        fitting = [o for o in self.mine if wanted(o)]
        return self.dice.choice(fitting) if fitting else None

    # What they do

    def place(self):
        lines = [{"sku": sku, "quantity": self.dice.randint(1, 3)} for sku in self.dice.sample(self.skus, self.dice.randint(1, 2))]
        body = {"channel": self.dice.choice(("alipay", "alipay", "wechatpay", "any")), "buyer": self.name,
                "metadata": {"n": f"{self.name}-{self.n}"}}
        cart = f"{self.name}-{self.n}" if self.dice.random() < 0.15 else None
        if cart:
            for line in lines:
                answer = self.insist("PUT", f"/v1/carts/{cart}/items/{line['sku']}", json.dumps({"quantity": line["quantity"]}))
                require(answer.status == 200, repr(answer))
            self.book.carts[cart] = {line["sku"]: line["quantity"] for line in lines}
            body["cart"] = cart
        else:
            body["items"] = lines
        if self.dice.random() < 0.5:
            body["merchant_order_no"] = f"{self.name}-{self.n}"
        it = self.post("/v1/orders", body, ("insufficient_stock",))
        if it:
            order = Order(it, json.dumps(body), self.round_no)
            asked = sorted((line["sku"], line["quantity"]) for line in lines)
            require(sorted((line["sku"], line["quantity"]) for line in it["items"]) == asked, f"asked {asked}, got {it}")
            require(it["amount"] == PRICE_FEN * sum(n for _, n in asked), f"{it} costs something else")
            if cart:
                self.book.carts[cart] = {}  # emptied in the same commit
            self.mine.append(order)
            self.book.place(order)

    def pay(self):
        """The wallet is never killed: what it says is so."""
        order = self.order(lambda o: o.codes)
        if not order:
            return
        code = {"code": self.dice.choice(order.codes)}
        self.wallet.call("POST", "/wallet/scan", code)
        answer = self.wallet.call("POST", "/wallet/pay", code)
        require(answer.status in (200, 409), repr(answer))
        if answer.status == 200:
            with self.book.lock:
                order.captures += 1
                self.book.captured_fen += order.first["amount"]

    def cancel(self):
        order = self.order(lambda o: not o.is_cancelled)
        if order and self.post(f"/v1/orders/{order.id}/cancel", {"reason": "buyer"}, ("order_already_paid",)):
            order.is_cancelled = True

    def refund(self):
        order = self.order(lambda o: o.captures)
        if not order:
            return
        it = self.post(f"/v1/orders/{order.id}/refunds", {"amount": self.dice.randint(1, PRICE_FEN)},
                       ("order_not_paid", "refund_exceeds_paid", "too_many_refunds"))
        if it:
            order.refunds[it["id"]] = it["amount"]

    def add_stock(self):
        sku, add = self.dice.choice(self.skus), self.dice.choice((-2, 3, 5))
        if self.post(f"/v1/skus/{sku}/stock", {"add": add}, ("insufficient_stock",)):
            self.book.stock(sku, add)

    def another_code(self):
        order = self.order(lambda o: not o.captures)
        if not order:
            return
        it = self.post(f"/v1/orders/{order.id}/payments", {"channel": self.dice.choice(("alipay", "wechatpay"))},
                       ("order_not_payable", "order_already_paid", "too_many_payments", "channel_refused"))
        if it and it.get("qr_code") and it["qr_code"] not in order.codes:
            order.codes.append(it["qr_code"])

    def repeat(self):
        """One key, one effect: the first answer comes again, to the byte."""
        if not self.said:
            return
        path, text, headers, first = self.dice.choice(self.said)
        answer = self.insist("POST", path, text, headers)
        require(answer.status in (200, 201) and answer.body == first,
                f"POST {path} {headers} was answered {first!r}, and now {answer!r}")

    def repeat_number(self):
        order = self.order(lambda o: "merchant_order_no" in o.first and "cart" not in json.loads(o.body))
        if order:
            answer = self.insist("POST", "/v1/orders", order.body)
            require(answer.status == 200 and answer.json["id"] == order.id,
                    f"the number of {order.id} a second time is answered {answer!r}")

# SPDX-License-Identifier: Apache-2.0
"""What must be true after a kill, judged from the outside: the HTTP interface and the wallet's own ledger, against what
the clients were told."""
import time
from urllib.parse import quote

from harness import NEXT
from world import require

# Not the channel: another code may be asked for at another one.
KEPT = ("id", "items", "amount", "currency", "created_at", "pay_url", "policy", "buyer", "metadata", "merchant_order_no")
OPEN = ("placed", "awaiting_payment", "closing")


class Judge:
    def __init__(self, book, world, dice):
        self.book, self.dice = book, dice
        self.shop, self.wallet = world.shop_line(), world.wallet_line()
        self.newest = None  # the newest order of the rounds before
        self.tail, self.before_tail = [], ""  # the events read last, and the cursor before them
        self.sequence = {}

    # After each round. Nobody asks for anything; what was begun may go on.

    def after_round(self, round_no, skus):
        listed = self.sku_sums(round_no, skus)
        self.one_key_one_order(listed)
        for it in listed.values():
            self.as_answered(self.book.orders[it["id"]], it)
        self.older_ones(listed)
        self.carts()
        self.events()

    def new_orders(self):
        found, cursor = {}, ""
        while True:
            page = self.shop.good("GET", "/v1/orders?limit=200" + (f"&cursor={quote(cursor)}" if cursor else ""))
            for it in page["data"]:
                if it["id"] == self.newest:
                    return found
                require(it["id"] not in found, f"{it['id']} is listed twice")
                found[it["id"]] = it
            if not page["has_more"]:
                return found
            cursor = page["next_cursor"]

    def stock(self, skus):
        return {sku: tuple(self.shop.good("GET", f"/v1/skus/{sku}")[k] for k in ("available", "held", "sold")) for sku in skus}

    def sku_sums(self, round_no, skus):
        """Notifications may still be moving orders: read the stock before and after, until nothing moved in between."""
        while True:
            before, listed = self.stock(skus), self.new_orders()
            if before == self.stock(skus):
                break
        for sku, (available, held, sold) in before.items():
            require(min(available, held, sold) >= 0 and available + held + sold == self.book.added[sku],
                    f"{sku}: {available} + {held} + {sold} are not the {self.book.added[sku]} that were added")
            owed = {"held": 0, "sold": 0}
            for it in listed.values():
                n = sum(line["quantity"] for line in it["items"] if line["sku"] == sku)
                if it["state"] != "cancelled":
                    owed["held" if it["state"] in OPEN else "sold"] += n
            require((held, sold) == (owed["held"], owed["sold"]), f"{sku}: held {held}, sold {sold}; its orders say {owed}")
        return listed

    def one_key_one_order(self, listed):
        known = self.book.orders.keys()
        require(listed.keys() <= known, f"nobody's orders: {[listed[i] for i in listed.keys() - known][:3]}")
        if listed:
            self.newest = next(iter(listed))

    def as_answered(self, order, it):
        """`it` is the order as it is shown now."""
        for field in KEPT:
            require(it.get(field) == order.first.get(field), f"{field} was {order.first.get(field)}, and now: {it}")
        last, wrong = order.seen, f"was {order.seen}, and now: {it}"
        require(it["version"] >= last["version"], wrong)
        require(it["version"] > last["version"] or it["state"] == last["state"], wrong)
        require(it["state"] == last["state"] or reachable(last["state"], it["state"]), wrong)
        require(it["refunded_amount"] >= last["refunded_amount"] and it["paid_amount"] >= last["paid_amount"], wrong)
        require((it["state"] == "paid") == (it["paid_amount"] > 0), f"paid and not paid: {it}")
        require(it["state"] != "paid" or order.captures, f"nobody paid {it}")
        require(not order.is_cancelled or it["state"] not in ("placed", "awaiting_payment"), f"its cancelling is lost: {it}")
        if order.refunds:
            have = {r["id"]: r["amount"] for r in self.shop.good("GET", f"/v1/orders/{order.id}/refunds")["data"]}
            require(order.refunds.items() <= have.items(), f"refunds {order.refunds} were answered, there are {have}")
            require(sum(order.refunds.values()) <= it["amount"], f"more went back than came: {order.refunds} of {it}")
        order.seen = it

    def older_ones(self, listed):
        """All that were answered in this round must be in the list; of the earlier ones a few are looked at."""
        here = [o for o in self.book.orders.values() if o.round_no == self.round_of(listed)]
        gone = [o.id for o in here if o.id not in listed]
        require(not gone, f"answered with 2xx and gone: {gone[:5]}")
        older = [o for o in self.book.orders.values() if o.id not in listed]
        for order in self.dice.sample(older, min(8, len(older))):
            self.as_answered(order, self.shop.good("GET", f"/v1/orders/{order.id}"))

    def round_of(self, listed):
        return max((self.book.orders[i].round_no for i in listed), default=-1)

    def carts(self):
        for cart, lines in self.book.carts.items():
            have = {it["sku"]: it["quantity"] for it in self.shop.good("GET", f"/v1/carts/{cart}")["items"]}
            require(have == lines, f"cart {cart} holds {have}, not {lines}")
        self.book.carts.clear()

    def events(self):
        """What was read once is read again the same, and every order's events are dense."""
        cursor, found = self.before_tail, []
        while True:
            page = self.shop.good("GET", "/v1/events?limit=200" + (f"&after={cursor}" if cursor else ""))
            found += page["data"]
            if not page["has_more"]:
                break
            cursor = found[-1]["id"]
        require(found[:len(self.tail)] == self.tail, "events that were read before are others now")
        new = found[len(self.tail):]
        for e in new:
            last = self.sequence.get(e["order"], 0)
            require(e["sequence"] == last + 1, f"after event {last} of its order comes {e}")
            self.sequence[e["order"]] = e["sequence"]
        if new:
            self.before_tail = self.tail[-1]["id"] if self.tail else ""
            self.tail = new

    # Now and then: the windows are over, and everything is decided

    def settle(self, limit_s=60):
        end, owed = time.monotonic() + limit_s, True
        while owed:
            require(time.monotonic() < end, f"still open after its window: {owed[:3] if owed is not True else ''}")
            moved = self.shop.call("POST", "/dev/clock", {"advance": "10m"}, timeout=30)
            owed = moved.status != 200 or not moved.json["settled"] or self.unsettled()

    def unsettled(self):
        """The orders that are not decided yet, or whose money is still on its way."""
        owed = []
        for order in self.book.orders.values():
            if not order.is_settled and not self.settled(order):
                owed.append(order.seen)
        return owed

    def settled(self, order):
        it = self.shop.good("GET", f"/v1/orders/{order.id}")
        self.as_answered(order, it)
        if it["state"] in OPEN:
            return False
        if order.captures:
            if any(r["state"] == "pending" for r in self.shop.good("GET", f"/v1/orders/{order.id}/refunds")["data"]):
                return False
            captured, kept = self.money(order)
            require(captured == order.captures * it["amount"], f"paid {order.captures} times, the ledger says {captured}: {it}")
            require(kept == it["paid_amount"] - it["refunded_amount"], f"{kept} fen of it are kept: {it}")
            require(it["refunded_amount"] >= sum(order.refunds.values()), f"of {order.refunds} only a part went back: {it}")
        else:
            require(it["state"] == "cancelled", f"nobody paid {it}")
        order.is_settled = True
        return True

    def money(self, order):
        """What the provider took for it, and what of that is still there."""
        captured = kept = 0
        for attempt in self.shop.good("GET", f"/v1/orders/{order.id}/payments")["data"]:
            answer = self.wallet.call("GET", f"/wallet/trades/{attempt['out_trade_no']}")
            if answer.status == 200:
                captured += answer.json["captured_amount"]
                kept += answer.json["captured_amount"] - answer.json["refunded_amount"]
        return captured, kept

    # At the end

    def everything(self):
        """Not one order is lost or changed, and the books are the provider's."""
        self.newest = None
        listed = self.new_orders()
        require(listed.keys() == self.book.orders.keys(), f"{len(listed)} orders, {len(self.book.orders)} were answered")
        for it in listed.values():
            self.as_answered(self.book.orders[it["id"]], it)
        for sku, (available, held, sold) in self.stock(self.book.added).items():
            took = sum(o.quantity(sku) for o in self.book.orders.values() if o.seen["state"] == "paid")
            require((available, held, sold) == (self.book.added[sku] - took, 0, took), f"{sku}: {available}, {held}, {sold}")
        ledger = self.wallet.good("GET", "/wallet/ledger")
        ours = sum(it["paid_amount"] - it["refunded_amount"] for it in listed.values())
        require(ledger["captured"] == self.book.captured_fen, f"paid {self.book.captured_fen}, the ledger says {ledger}")
        require(ledger["captured"] - ledger["refunded"] == ours, f"{ours} fen here, the ledger says {ledger}")


def reachable(a, b):
    """Over any number of steps that nobody saw."""
    return any(c == b or reachable(c, b) for c in NEXT[a])

# SPDX-License-Identifier: Apache-2.0
"""The fault catalogue, rows 11 to 18: what the providers tell, and what becomes of it on the way (the table is in
test_faults.py)."""
import json
import threading
import unittest

from harness import at_once, name, wait_for
from proxy import FaultCase, Gate, both, unheard
from provider import providers

REFUSED = {"alipay": 200, "wechatpay": 401}


class NoticeCase(FaultCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.providers = providers(cls.till)

    def caught(self, channel, **more):
        """An order that is paid over there, and its notification, which nobody has delivered; nor will any other be."""
        self.kept = kept = []
        self.proxy.on("notify", lambda call, deliver: kept.append(call))
        sku, order, number = self.new(channel, **more)
        self.till.scan_and_pay(order)
        wait_for(lambda: kept, 5, "the notification")
        return sku, order, number, kept[0]

    def tell(self, channel, headers, body):
        return self.till.call("POST", f"/notify/{channel}", body, headers)

    def tell_again(self, notice):
        return self.tell(notice.channel, notice.headers, notice.body)

    def assert_taken(self, answer, channel):
        good = (200, b"success") if channel == "alipay" else (200, '{"code":"SUCCESS","message":"成功"}'.encode())
        self.assertEqual((answer.status, answer.body.replace(b" ", b"")), good)

    def assert_not_taken(self, answer, channel):
        self.assertEqual(answer.status, REFUSED[channel], repr(answer))
        self.assertNotIn(b"success", answer.body.lower())

    def shown(self, order):
        """All that can be seen of an order, but for when it was seen."""
        return self.till.order(order["id"]), self.till.events(order["id"]), self.till.refunds(order["id"]), self.till.timeline(order["id"])

    def cases(self):
        return self.till.all("/v1/cases?state=open")


class Notices(NoticeCase):
    @both
    def test_row_11_a_notification_lost_for_ever_is_made_up_for(self, channel):
        self.till.faults(notify={"drop": 1})
        for policy in ("poll", "reverse", "forward", "delay"):
            sku, order, _ = self.new(channel, policy=policy)
            self.till.scan_and_pay(order)
            self.till.advance("6m" if policy == "delay" else "90s")
            self.assertEqual((self.state(order), policy), ("paid", policy))
            self.assert_stock(sku, 8, 0, 2)
            self.assert_lived_well(order["id"])
        order = self.till.place(self.till.sku(), 2, channel="any")
        self.assertEqual(self.till.wallet("POST", "/wallet/pay", {"code": order["pay_url"], "wallet": channel}).status, 200)
        self.till.advance("90s")
        self.assertEqual(self.state(order), "paid")
        self.assert_books_balance()

    @both
    def test_row_12_a_hundred_copies_at_once_pay_the_order_once(self, channel):
        sku, order, _, notice = self.caught(channel)
        for answer in at_once(*[lambda: self.tell_again(notice)] * 100):
            self.assert_taken(answer, channel)
        after = self.till.order(order["id"])
        self.assertEqual((after["state"], after["paid_amount"], after["refunded_amount"]), ("paid", 200, 0))
        self.assertEqual(self.types(order).count("order.paid"), 1)
        self.assertEqual([r["kind"] for r in self.till.timeline(order["id"])].count("notification"), 1)
        self.assert_stock(sku, 8, 0, 2)
        self.assert_lived_well(order["id"])
        self.assert_books_balance()

    @both
    def test_row_17_a_replay_long_after_changes_nothing(self, channel):
        sku, order, number, notice = self.caught(channel)
        self.assert_taken(self.tell_again(notice), channel)
        self.till.until(order["id"], "paid")
        self.assertEqual(self.refund(order).status, 201)
        self.until_refunded(order, [200])
        self.till.advance("3h")
        before, ledger = self.shown(order), self.till.ledger()
        for answer in at_once(*[lambda: self.tell_again(notice)] * 5):
            self.assert_taken(answer, channel)
        self.till.advance("1h")
        self.assertEqual(self.shown(order), before)
        self.assertEqual({k: ledger[k] for k in ("captured", "refunded")}, {k: self.till.ledger()[k] for k in ("captured", "refunded")})
        self.assertEqual(len(self.proxy.asked("refund", number)), 1)
        self.assert_stock(sku, 8, 0, 2)
        self.assert_books_balance()

    @both
    def test_row_18_an_acknowledgement_that_is_lost_is_asked_for_again(self, channel):
        told = len(self.proxy.asked("notify"))
        self.proxy.on("notify", unheard, times=1)
        sku, order, _ = self.new(channel)
        self.till.scan_and_pay(order)
        self.till.until(order["id"], "paid")
        before = self.shown(order)
        self.till.advance("5m")
        again = self.proxy.asked("notify")[told:]
        self.assertEqual(len(again), 2, "told once more, and then heard")
        self.assert_taken(again[1].answer, channel)
        self.assertEqual(self.shown(order), before)
        self.assert_stock(sku, 8, 0, 2)
        self.assert_books_balance()

    def test_row_18_an_acknowledgement_that_takes_too_long_is_asked_for_again(self):
        """Longer than the five seconds a provider waits; both at once, because that time is real."""
        gates = {c: self.proxy.on("notify", Gate(before=False), times=1, channel=c) for c in ("alipay", "wechatpay")}
        told = len(self.proxy.asked("notify"))
        orders = [self.new(c)[1] for c in gates]
        shown = []
        for order in orders:
            self.till.scan_and_pay(order)
            self.till.until(order["id"], "paid")
            shown.append(self.shown(order))
        wait_for(lambda: self.till.good("GET", "/dev/clock")["settled"], 8, "the providers' patience")
        self.till.advance("5m")
        for channel, gate in gates.items():
            gate.open()
            again = [c for c in self.proxy.asked("notify")[told:] if c.channel == channel]
            self.assertEqual(len(again), 2, channel)
            self.assert_taken(again[1].answer, channel)
        self.assertEqual([self.shown(o) for o in orders], shown)
        self.assert_books_balance()


class TheOrderOfThings(NoticeCase):
    """What a console gives back is no refund of Till's: the shop's books and the provider's differ by it, so not beside others."""

    def told_of_a_console_refund(self, channel, amount):
        """An order, and its two notifications: that it was paid, and that the console gave some of it back."""
        sku, order, number, paid = self.caught(channel)
        more = {} if channel == "alipay" else {"total": 200, "notify_url": self.proxy.url + "/notify/wechatpay"}
        self.providers[channel].refund(number, name("console").replace("-", "_"), amount, **more)
        self.till.advance("4s", settled=False)  # WeChat Pay takes three seconds
        of_refund = lambda: [c for c in self.kept if b"REFUND." in c.body or b"refund_fee" in c.body]
        return sku, order, paid, wait_for(of_refund, 5, "the notification of the refund")[0]

    @both
    def test_row_13_a_refund_may_be_told_of_before_its_payment(self, channel):
        """Money that is first heard of as partly gone pays for nothing until somebody says so (docs/api.md, `resolve`)."""
        ends = []
        for backwards in (False, True):
            sku, order, paid, refunded = self.told_of_a_console_refund(channel, 50)
            for notice in (refunded, paid) if backwards else (paid, refunded):
                self.assert_taken(self.tell_again(notice), channel)
            if backwards and channel == "alipay":
                self.assertEqual((self.state(order), self.types(order)[2:]), ("awaiting_payment", ["payment.mismatch"]))
                self.till.good("POST", f"/v1/orders/{order['id']}/payments/{order['payment']['id']}/resolve", {"action": "accept"})
            after = self.till.order(order["id"])
            payment = next(p for p in self.till.good("GET", f"/v1/orders/{order['id']}/payments")["data"] if p["id"] == order["payment"]["id"])
            ends.append((after["state"], after["paid_amount"], after["refunded_amount"], payment["state"], self.till.stock(sku),
                         [t for t in self.types(order) if t != "payment.mismatch"], self.till.refunds(order["id"])))
            self.assert_lived_well(order["id"])
        self.assertEqual(ends[0], ends[1])
        self.assertEqual(ends[0][:2], ("paid", 200))

    def test_row_13_all_of_it_gone_before_it_was_told_of_is_entered_and_paid_out_once(self):
        """The order is not sold for money that is gone, but the money is in the books either way, and goes back once."""
        for backwards in (False, True):
            sku, order, paid, refunded = self.told_of_a_console_refund("alipay", 200)
            for notice in (refunded, paid) if backwards else (paid, refunded):
                self.assert_taken(self.tell_again(notice), "alipay")
            shown = [(r["amount"], r["state"], r["cause"]) for r in self.till.refunds(order["id"])]
            self.assertEqual(shown, [(200, "succeeded", "provider")])
            self.settle("10m")
            after = self.till.order(order["id"])
            self.assertEqual(after["state"], "cancelled" if backwards else "paid")
            self.assertEqual(after["paid_amount"] - after["refunded_amount"], 0)
            self.assertEqual(self.types(order).count("order.paid"), 0 if backwards else 1)
            self.assert_stock(sku, *((10, 0, 0) if backwards else (8, 0, 2)))
            self.assertEqual(self.proxy.asked("refund"), [], "nobody here gives it back once more")
            self.assert_lived_well(order["id"])

    def test_row_13_closed_and_then_paid_is_paid(self):
        for words in (("closed", "paid"), ("paid", "closed")):
            sku, order, number, paid = self.caught("alipay")
            closed = self.providers["alipay"].notice(number, 200, trade_status="TRADE_CLOSED", gmt_payment=None)
            for word in words:
                self.assert_taken(self.tell_again(paid) if word == "paid" else self.tell("alipay", *closed), "alipay")
            after = self.till.order(order["id"])
            self.assertEqual((after["state"], after["paid_amount"], after["refunded_amount"]), ("paid", 200, 0))
            self.assert_stock(sku, 8, 0, 2)
            self.assertEqual(self.types(order).count("order.paid"), 1)
            self.assert_lived_well(order["id"])


class GenuineAndWrong(NoticeCase):
    @both
    def test_row_14_genuine_money_of_another_amount_goes_back(self, channel):
        def cheaper(call, deliver):
            self.providers[channel].rewrite(call, 1)
            return deliver()

        self.proxy.on("create", cheaper, times=1)
        sku, order, number = self.new(channel)
        self.assertEqual(self.till.scan(order["payment"]["qr_code"]).json["amount"], 1)
        self.till.scan_and_pay(order)
        self.until_refunded(order, [1])
        after = self.till.order(order["id"])
        self.assertEqual((after["state"], after["paid_amount"], after["refunded_amount"]), ("awaiting_payment", 0, 0))
        self.assertEqual((self.types(order).count("payment.mismatch"), self.types(order).count("order.paid")), (1, 0))
        self.assertEqual(self.trade(number)["state"], "refunded")
        self.assert_stock(sku, 8, 2, 0)
        self.assertNotEqual(after["payment"]["out_trade_no"], number, "its number is spent, so there is another code")
        self.till.scan_and_pay(after)
        self.assertEqual(self.till.until(order["id"], "paid")["paid_amount"], 200)
        self.assert_stock(sku, 8, 0, 2)
        self.assert_lived_well(order["id"])
        self.assert_books_balance()

    @both
    def test_row_14_genuine_word_about_somebody_else_changes_nothing(self, channel):
        _, order, number = self.new(channel)
        says = self.providers[channel].notice
        amount = {"total": 200, "payer_total": 200}
        foreign = {"alipay": ({"app_id": "2021999999999999"}, {"seller_id": "2088999999999999"}),
                   "wechatpay": ({"mchid": "1900000002"}, {"appid": "wx0"}, {"amount": {**amount, "currency": "USD"}})}[channel]
        before, refused = self.shown(order), self.till.notices_refused()
        for spoil in foreign:
            with self.subTest(**spoil):
                self.assert_not_taken(self.tell(channel, *says(number, 200, **spoil)), channel)
                self.assertEqual(self.shown(order), before)
        self.assertEqual(self.till.notices_refused(), refused + len(foreign))
        self.assert_taken(self.tell(channel, *says(number, 200)), channel)  # so it was that, and nothing else
        self.assertEqual(self.state(order), "paid")

    @both
    def test_row_15_a_number_nobody_knows_is_a_case_before_it_is_acknowledged(self, channel):
        number = name("NOT_OURS").replace("-", "_")
        orders = [o["id"] for o in self.till.all("/v1/orders")]
        code = self.providers[channel].code(number, 900, f"{self.proxy.url}/notify/{channel}")
        killed = threading.Event()

        def till_dies(call, deliver):
            answer = deliver()
            if not killed.is_set():
                killed.set()
                self.till.kill()  # in the very moment it has said "success"
            return answer

        self.proxy.on("notify", till_dies)
        self.assertEqual(self.till.scan(code).status, 200)
        self.pay_and_die(code)
        self.assertTrue(killed.wait(5))
        answer = wait_for(lambda: [c.answer for c in self.proxy.asked("notify") if c.answer], 5, "the acknowledgement")[-1]
        self.assert_taken(answer, channel)
        self.till.restart()
        self.till.advance("5m")  # the provider has not heard it, and tells again
        mine = [c for c in self.cases() if c["out_trade_no"] == number]
        self.assertEqual([(c["kind"], c["channel"], c["amount_there"], c["amount_here"]) for c in mine], [("unknown_number", channel, 900, 0)])
        self.assertEqual(mine[0]["provider_trade_no"], self.trade(number)["provider_trade_no"], "how a person finds it over there")
        self.assertGreater(self.till.metrics()["till_cases_open"], 0)
        self.assertEqual([o["id"] for o in self.till.all("/v1/orders")], orders)

    def pay_and_die(self, code):
        """The sandbox lives in the process that is killed: its wallet may not hear the end of it."""
        try:
            self.assertEqual(self.till.pay(code).status, 200)
        except OSError:
            pass


if __name__ == "__main__":
    unittest.main()

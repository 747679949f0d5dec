# SPDX-License-Identifier: Apache-2.0
"""Retention: finished orders that are older than `store.keep` move to the archive. They can be read, and nothing more.

Each test has a server of its own, whose clock goes far ahead.
"""
import os
import unittest
from datetime import datetime, timedelta, timezone

from harness import Case, Till, name, run_till, wait_for
from test_events import Stream

SHANGHAI = timezone(timedelta(hours=8))


class ArchiveCase(Case):
    FLAGS = ("--store.keep", "3d")

    @classmethod
    def setUpClass(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        pass

    def setUp(self):
        self.till = Till(*self.FLAGS)
        self.addCleanup(self.till.clean)
        self.till.start()
        self.sku = self.till.sku(stock=20, price=100)

    def paid(self, **more):
        order = self.till.place(self.sku, 1, **more)
        self.till.scan_and_pay(order)
        return self.till.until(order["id"], "paid")

    def cancelled(self, **more):
        order = self.till.place(self.sku, 1, channel="any", **more)
        self.till.good("POST", f"/v1/orders/{order['id']}/cancel")
        return self.till.until(order["id"], "cancelled")

    def refunded(self, order, amount):
        self.till.good("POST", f"/v1/orders/{order['id']}/refunds", {"amount": amount}, (201,))
        wait_for(lambda: self.till.order(order["id"])["refunded_amount"] == amount, 20, "the refund")
        return self.till.order(order["id"])

    def listed(self):
        return [o["id"] for o in self.till.all("/v1/orders")]

    def archive(self, *orders):
        """Lets so much time pass that these go, and waits until they have."""
        self.till.advance("73h")
        ids = {o["id"] for o in orders}
        wait_for(lambda: not ids & set(self.listed()), 10, "the archiving")

    def story(self, order):
        path = f"/v1/orders/{order['id']}"
        return [self.till.good("GET", path)] + [self.till.good("GET", f"{path}/{of}") for of in ("timeline", "payments", "refunds")]

    def commands(self, order):
        path = f"/v1/orders/{order['id']}"
        payments = self.till.good("GET", path + "/payments")["data"]
        yield from ((path + "/cancel", {}), (path + "/check", None), (path + "/refunds", {"amount": 1}),
                    (path + "/payments", {"channel": "alipay"}))
        for payment in payments:
            yield f"{path}/payments/{payment['id']}/resolve", {"action": "refund", "note": "n"}


class Archive(ArchiveCase):
    def test_what_is_old_and_finished_moves_and_can_be_read(self):
        orders = [self.refunded(self.paid(buyer="b-1", metadata={"k": "v"}), 30), self.cancelled(buyer="b-1")]
        before = [self.story(o) for o in orders]
        stock = self.till.stock(self.sku)
        counted = {k: v for k, v in self.till.metrics().items() if k.startswith("till_orders{")}
        self.till.advance("71h")
        self.assertEqual(set(self.listed()), {o["id"] for o in orders}, "too young")
        open_one = self.till.place(self.sku, 1, channel="any", pay_within=14 * 86400)
        self.archive(*orders)
        self.assertEqual(self.listed(), [open_one["id"]])
        self.assertEqual([self.story(o) for o in orders], before)
        self.assertEqual(self.till.good("GET", "/v1/orders?buyer=b-1")["data"], [])
        self.assert_stock(self.sku, stock[0] - 1, stock[1] + 1, stock[2])
        metrics = self.till.metrics()
        self.assertEqual(metrics["till_orders_archived_total"], 2)
        self.assertGreater(metrics["till_orders_oldest_kept_seconds"], 0)
        counted['till_orders{state="awaiting_payment"}'] += 1
        self.assertEqual({k: v for k, v in metrics.items() if k.startswith("till_orders{")}, counted)
        self.assertTrue(os.path.exists(os.path.join(self.till.data, "till.db-archive")))
        self.assertEqual(os.stat(os.path.join(self.till.data, "till.db-archive")).st_mode & 0o777, 0o600)
        self.assert_audit()
        for restart in (self.till.stop, self.till.kill):
            restart()
            self.till.restart()
            self.assertEqual([self.story(o) for o in orders], before)
            self.assert_audit()

    def test_nothing_can_be_done_about_an_archived_order(self):
        orders = [self.paid(), self.cancelled()]
        self.archive(*orders)
        for order in orders:
            before = self.story(order)
            for path, body in self.commands(order):
                with self.subTest(path):
                    self.problem(self.till.call("POST", path, body), 410, "order_archived")
            self.assertEqual(self.story(order), before)
            state = self.till.call("GET", f"/pay/{order['id']}/state")
            self.assertEqual((state.status, state.json["state"]), (200, order["state"]))
        self.problem(self.till.call("POST", "/v1/orders/ord_0rpbtc4080000dd37ps78gfnmsgrg/cancel", {}), 404, "unknown_order")
        self.assert_audit()

    def test_a_merchants_number_may_be_used_again(self):
        number = name("M")
        first = self.cancelled(merchant_order_no=number)
        body = {"items": [{"sku": self.sku, "quantity": 2}], "channel": "any", "merchant_order_no": number}
        self.problem(self.till.call("POST", "/v1/orders", body), 409, "merchant_order_no_used")
        self.archive(first)
        second = self.till.good("POST", "/v1/orders", body, (201,))
        self.assertNotEqual(second["id"], first["id"])
        self.assertEqual(self.till.order(first["id"])["merchant_order_no"], number)
        self.till.kill()
        self.till.restart()
        self.problem(self.till.call("POST", "/v1/orders", dict(body, buyer="x")), 409, "merchant_order_no_used")

    def test_the_feed_begins_after_what_went_to_the_archive(self):
        open_one = self.till.place(self.sku, 1, channel="any", pay_within=14 * 86400)  # older than what goes
        old = [self.cancelled(), self.paid()]
        events = self.till.events()
        stream = Stream(self.till.url, last=events[-1]["id"])
        self.addCleanup(stream.close)
        self.archive(*old)
        for event in events[:-1]:  # also of the order that stays: what comes behind it is not all there
            self.problem(self.till.call("GET", f"/v1/events?after={event['id']}"), 410, "event_gone")
            self.problem(self.till.call("GET", f"/v1/events?after={event['id']}&wait=5"), 410, "event_gone")
            answer = self.till.call("GET", "/v1/events/stream", headers={"Last-Event-ID": event["id"]})
            self.problem(answer, 410, "event_gone")
        last = f"/v1/events?after={events[-1]['id']}"
        self.assertEqual(self.till.good("GET", last)["data"], [], "who has read everything has missed nothing")
        self.assertEqual(self.till.events(), [])
        new = self.paid()
        told = [e["type"] for e in self.till.events()]
        self.assertEqual(told, ["order.placed", "order.awaiting_payment", "order.paid"])
        self.assertEqual([e["order"] for e in self.till.good("GET", last)["data"]], 3 * [new["id"]])
        wait_for(lambda: [g[1] for g in stream.got] == told, 5, "the stream that was open")
        fresh = Stream(self.till.url)
        self.addCleanup(fresh.close)
        wait_for(lambda: [g[1] for g in fresh.got] == told, 5, "a stream from the beginning")
        self.till.good("POST", f"/v1/orders/{open_one['id']}/cancel")
        self.till.until(open_one["id"], "cancelled")
        self.assertEqual([e["sequence"] for e in self.till.events(open_one["id"])], [3, 4])

    def test_a_notification_of_an_archived_order_is_a_case(self):
        days_ms = 4 * 86400 * 1000
        self.till.faults(notify={"delay_ms": [days_ms, days_ms]})
        order = self.till.place(self.sku, 1, channel="alipay")
        self.till.scan_and_pay(order)
        self.till.good("POST", f"/v1/orders/{order['id']}/check")
        self.till.until(order["id"], "paid")
        self.archive(order)
        self.assertEqual(self.till.all("/v1/cases"), [])
        before = self.story(order)
        self.till.advance("24h")
        case, = wait_for(lambda: self.till.all("/v1/cases?state=open"), 10, "the case")
        self.assertEqual((case["kind"], case["channel"]), ("unknown_number", "alipay"))
        self.assertEqual((case["out_trade_no"], case["amount_there"]), (order["payment"]["out_trade_no"], 100))
        self.assertEqual(self.story(order), before)
        self.assert_audit()

    def test_a_bill_of_an_archived_day_is_compared(self):
        at = datetime.fromtimestamp(self.till.now(), SHANGHAI)
        noon = at.replace(hour=12, minute=0, second=0) + timedelta(days=1)
        self.till.advance(f"{int((noon - at).total_seconds())}s")
        orders = [self.refunded(self.paid(channel=channel), 40) for channel in ("alipay", "wechatpay")]
        self.archive(*orders)
        day = noon.strftime("%Y-%m-%d")
        status, out, err = run_till("reconcile", "--data", self.till.data, "--sandbox", self.till.sandbox, "--date", day)
        self.assertEqual(status, 0, out + err)
        self.assertRegex(out, r"(?m)^alipay +capture +1 +0 +0 +0 ")
        self.assertRegex(out, r"(?m)^wechatpay +refund +1 +0 +0 +0 ")

    def test_an_archive_is_read_when_the_setting_is_gone(self):
        order = self.paid()
        self.archive(order)
        story = self.story(order)
        self.assertEqual(self.till.stop()[0], 0)
        at = self.till.server.args.index("--store.keep")
        del self.till.server.args[at:at + 2]
        self.till.restart()
        self.assertEqual(self.story(order), story)
        later = self.paid()
        self.till.advance("200h")
        self.assertEqual(self.listed(), [later["id"]])
        self.assert_audit()


class NotSettled(ArchiveCase):
    FLAGS = ("--store.keep", "3d", "--order.release", "deadline", "--order.late_payment", "hold")

    def test_money_that_waits_for_an_operator_keeps_its_order(self):
        held = self.till.place(self.sku, 1, channel="alipay", pay_within=5)
        self.till.advance("8s")
        self.till.until(held["id"], "cancelled")
        self.till.scan_and_pay(held)
        payments = f"/v1/orders/{held['id']}/payments"
        payment = wait_for(lambda: [p for p in self.till.good("GET", payments)["data"] if p["state"] == "held"], 20, "held")[0]
        self.archive(self.cancelled())
        self.assertEqual(self.listed(), [held["id"]])
        self.till.good("POST", f"{payments}/{payment['id']}/resolve", {"action": "refund", "note": "late"})
        wait_for(lambda: [r["state"] for r in self.till.refunds(held["id"])] == ["succeeded"], 20, "the way back")
        self.archive(held)
        self.assertEqual([r["state"] for r in self.till.refunds(held["id"])], ["succeeded"])
        self.assert_audit()


class TheSetting(unittest.TestCase):
    def test_it_is_never_or_three_days_at_least(self):
        self.assertIn("keep = never", run_till("serve", "--print-config")[1])
        self.assertIn("keep = 90d", run_till("serve", "--print-config", "--store.keep", "90d")[1])
        for bad in ("2d", "0s", "", "-1d", "Never", "forever"):
            status, _, err = run_till("serve", "--print-config", "--store.keep", bad)
            self.assertEqual(status, 2, bad)
            self.assertIn("never, or a duration from 3d", err)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""The third channel, `fake`: a bank transfer, read and typed instead of scanned.

What holds of the other two holds of it: paid by a notification, found by a check-back when that is lost, closed at the
deadline, late money given back; and the audit, the metrics and the pages know it.
"""
import os
import re
import shutil
import tempfile
import unittest

from harness import Case, Process, Till, at_once, call, free_ports, instant, run_till, wait_for


class FakeCase(Case):
    def setUp(self):
        self.till.no_faults()

    def place(self, stock=5, **more):
        sku = self.till.sku(stock, 100)
        return self.till.place(sku, 2, channel="fake", **more)

    def transfer(self, order, **more):
        """The buyer types the reference he reads in the instructions."""
        reference = re.search(r"reference (\S+)", order["payment"]["instructions"]).group(1)
        self.assertEqual(reference, order["payment"]["out_trade_no"])
        return self.till.wallet("POST", "/wallet/pay", {"code": reference, **more})

    def assert_transferred(self, answer):
        self.assertEqual(answer.status, 200, repr(answer))
        self.assertEqual((answer.json["channel"], answer.json["state"]), ("fake", "paid"))

    def assert_audit(self):
        status, out, err = self.till.audit()
        self.assertEqual(status, 0, out + err)


class Transfers(FakeCase):
    def test_paid_by_a_notification(self):
        order = self.place()
        self.assertEqual((order["state"], order["channel"]), ("awaiting_payment", "fake"))
        self.assert_transferred(self.transfer(order))
        paid = self.till.until(order["id"], "paid", 3)
        self.assertEqual(paid["paid_amount"], 200)
        self.assertRegex(paid["payment"]["provider_trade_no"], r"^6200\d{24}$")
        self.assertEqual(self.till.stock(order["items"][0]["sku"]), (3, 0, 2))
        kinds = [(t["kind"], t.get("channel")) for t in self.till.timeline(order["id"])]
        self.assertIn(("notification", "fake"), kinds)
        self.assert_audit()

    def test_a_lost_notification_is_made_up_for_by_a_check_back(self):
        order = self.place()
        self.till.faults(notify={"drop": 1})
        self.assert_transferred(self.transfer(order))
        self.till.advance("2m")
        paid = self.till.order(order["id"])
        self.assertEqual(paid["state"], "paid")
        self.assertLess(instant(paid["paid_at"]) - instant(order["created_at"]), 95)
        self.assertNotIn("notification", [t["kind"] for t in self.till.timeline(order["id"])])
        self.assert_audit()

    def test_a_forged_notification_changes_nothing(self):
        order = self.place()
        self.till.faults(notify={"forge": True, "delay_ms": [3600000, 3600000]})
        before = self.till.metrics()
        self.assert_transferred(self.transfer(order))
        forged = 'till_notifications_refused_total{verdict="forged"}'
        self.assertIn(forged, before)
        wait_for(lambda: self.till.metrics()[forged] > before[forged], 3, "a forged notification")
        self.assertEqual(self.till.order(order["id"])["state"], "awaiting_payment")

    def test_not_paid_it_is_closed_at_the_deadline_and_the_stock_comes_back(self):
        order = self.place()
        self.assertEqual(self.till.stock(order["items"][0]["sku"]), (3, 2, 0))
        self.till.advance("6m")
        ended = self.till.order(order["id"])
        self.assertEqual((ended["state"], ended["reason"], ended["payment"]["state"]), ("cancelled", "timeout", "closed"))
        self.assertEqual(self.till.stock(order["items"][0]["sku"]), (5, 0, 0))
        refused = self.transfer(order)
        self.assertEqual((refused.status, refused.json["code"], refused.json["reason"]), (409, "not_payable", "closed"))
        self.assert_audit()

    def test_an_unknown_answer_is_asked_again_under_the_same_number(self):
        self.till.faults(gateway={"error": 1})
        order = self.place()
        self.assertEqual(order["state"], "placed")
        number = order["payment"]["out_trade_no"]
        self.till.no_faults()
        self.till.advance("2m")
        order = self.till.order(order["id"])
        self.assertEqual((order["state"], order["payment"]["out_trade_no"]), ("awaiting_payment", number))
        self.assert_transferred(self.transfer(order))
        self.till.until(order["id"], "paid", 3)

    def test_a_refund_in_parts(self):
        order = self.place()
        self.assert_transferred(self.transfer(order))
        self.till.until(order["id"], "paid", 3)
        for amount, total in ((50, 50), (None, 200)):
            body = {"amount": amount} if amount else {}
            answer = self.till.call("POST", f"/v1/orders/{order['id']}/refunds", body)
            self.assertEqual(answer.status, 201, repr(answer))
            wait_for(lambda: self.till.order(order["id"])["refunded_amount"] == total, 3, f"refunded {total}")  # pylint: disable=cell-var-from-loop
        self.assert_audit()

    def test_the_other_channel_instead(self):
        order = self.place()
        other = self.till.call("POST", f"/v1/orders/{order['id']}/payments", {"channel": "alipay"})
        self.assertEqual(other.status, 201, repr(other))
        self.assertIn("qr_code", other.json)
        first = [p for p in self.till.good("GET", f"/v1/orders/{order['id']}/payments")["data"] if p["channel"] == "fake"]
        self.assertEqual([p["state"] for p in first], ["closed"])
        self.assertEqual(self.transfer(order).status, 409)

    def test_it_is_read_and_not_scanned(self):
        order = self.place()
        self.assertNotIn("qr_code", order["payment"])
        self.assertNotIn("qr_image", order["payment"])
        self.assertIn("CNY 2.00 to account 6200-0000-0000-0017", order["payment"]["instructions"])
        self.problem(self.till.call("GET", f"/v1/orders/{order['id']}/qr.png"), 404)
        state = self.till.good("GET", f"/pay/{order['id']}/state")
        self.assertEqual((state["has_code"], state["wallets"]), (False, []))
        self.assertEqual(state["instructions"], order["payment"]["instructions"])
        self.problem(self.till.call("POST", f"/pay/{order['id']}/open", {"channel": "fake"}), 409)
        self.till.advance("6m")
        self.assertNotIn("instructions", self.till.good("GET", f"/pay/{order['id']}/state"))

    def test_its_lane_is_seen(self):
        order = self.place()
        self.assertEqual(order["state"], "awaiting_payment")
        metrics = self.till.metrics()
        self.assertEqual(metrics['till_channel_breaker{channel="fake",state="closed"}'], 1)
        self.assertGreaterEqual(metrics['till_channel_calls_total{channel="fake",method="create",outcome="done"}'], 1)
        self.assertGreaterEqual(self.till.ledger()["calls"]["fake"], 1)

    def test_reconciling_passes_over_who_has_no_bills(self):
        status, out, err = run_till("reconcile", "--data", self.till.data, "--sandbox", self.till.sandbox, "--channel", "fake")
        self.assertEqual(status, 1, out + err)
        self.assertIn("this channel has no bills", err)
        _, out, err = run_till("reconcile", "--data", self.till.data, "--sandbox", self.till.sandbox)
        self.assertNotIn("this channel has no bills", err)


class Breaker(FakeCase):
    def test_a_bank_that_is_away_opens_its_own_breaker_only(self):
        self.till.faults(gateway={"unavailable": True})
        at_once(*[self.place] * 12)
        metrics = self.till.metrics()
        self.assertEqual(metrics['till_channel_breaker{channel="fake",state="open"}'], 1)
        self.assertEqual(metrics['till_channel_breaker{channel="alipay",state="closed"}'], 1)
        self.assertEqual(self.till.good("GET", "/readyz?verbose=1")["channels"]["fake"]["breaker"], "open")


class LateMoney(FakeCase):
    FLAGS = ("--order.release", "deadline")

    def test_it_is_given_back_once_and_in_full(self):
        order = self.place(pay_within=5)
        self.till.faults(gateway={"unavailable": True})  # so the bank does not hear of the end, and goes on expecting
        self.till.advance("8s", settled=False)
        self.assertEqual(self.till.until(order["id"], "cancelled")["reason"], "timeout")
        self.assertEqual(self.till.stock(order["items"][0]["sku"]), (5, 0, 0))
        self.till.no_faults()
        before = self.till.ledger()
        self.assert_transferred(self.transfer(order))
        wait_for(lambda: "payment.late" in self.types(order), 3, "payment.late")
        self.till.advance("1h", settled=False)
        wait_for(lambda: "refund.succeeded" in self.types(order), 10, "refund.succeeded")
        self.assertEqual((self.types(order).count("payment.late"), self.types(order).count("order.paid")), (1, 0))
        after = self.till.order(order["id"])
        self.assertEqual((after["state"], after["payment"]["state"], after["refunded_amount"]), ("cancelled", "refunded", 200))
        self.assertEqual(self.till.ledger()["refunded"], before["refunded"] + 200)
        self.assertEqual(self.till.stock(order["items"][0]["sku"]), (5, 0, 0))
        self.assert_audit()

    def types(self, order):
        return [e["type"] for e in self.till.events(order["id"])]


class Off(unittest.TestCase):
    def test_a_bank_elsewhere_is_refused(self):
        till = Till("--fake.base_url", "http://192.0.2.1:80/fake")
        self.addCleanup(till.clean)
        with self.assertRaises(AssertionError) as refused:
            till.start()
        self.assertIn("only http://127.0.0.1:PORT", str(refused.exception))

    def test_serve_has_it_only_with_its_keys(self):
        data = tempfile.mkdtemp(prefix="till-http-")
        self.addCleanup(shutil.rmtree, data, ignore_errors=True)
        port = free_ports(1)[0]
        url = f"http://127.0.0.1:{port}"
        serve = Process(["serve", "--listen", f"127.0.0.1:{port}", "--store.url", f"sqlite:{data}/till.db"],
                        (url, "/readyz"), os.path.join(data, "stderr.log")).start()
        self.addCleanup(serve.kill)
        refused = call(url, "POST", "/v1/orders", {"amount": 100, "subject": "x", "channel": "fake"})
        self.assertEqual((refused.status, refused.json["code"]), (422, "channel_unavailable"), repr(refused))
        self.assertEqual(call(url, "POST", "/notify/fake", "{}").status, 404)


if __name__ == "__main__":
    unittest.main()

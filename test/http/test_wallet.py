# SPDX-License-Identifier: Apache-2.0
"""The sandbox's wallet for programs: scan, pay, trades, ledger, faults."""
import unittest

from harness import Case, at_once, name, wait_for


class Wallet(Case):
    def setUp(self):
        super().setUp()
        self.sku = self.till.sku(price=150, title="green tea")
        self.order = self.till.place(self.sku, 2)
        self.code, self.number = self.order["payment"]["qr_code"], self.order["payment"]["out_trade_no"]

    def test_scan_shows_what_is_to_be_paid(self):
        answer = self.till.scan(self.code)
        self.assertEqual(answer.status, 200, repr(answer))
        it = answer.json
        self.assertEqual((it["channel"], it["out_trade_no"], it["amount"]), ("alipay", self.number, 300))
        self.assertIn("green tea", it["subject"])
        self.assertIn("state", it)
        self.assertEqual(self.till.scan(self.code).json["out_trade_no"], self.number, "scanning again changes nothing")

    def test_pay_by_code_by_number_and_with_a_wallet(self):
        self.assertEqual(self.till.scan(self.code).status, 200)
        answer = self.till.wallet("POST", "/wallet/pay", {"out_trade_no": self.number})
        self.assertEqual((answer.status, answer.json["state"]), (200, "paid"), repr(answer))
        self.assertTrue(answer.json["provider_trade_no"])
        other = self.till.place(self.sku, 1)
        answer = self.till.wallet("POST", "/wallet/pay", {"code": other["payment"]["qr_code"], "wallet": "alipay"})
        self.assertEqual((answer.status, answer.json["state"]), (200, "paid"), repr(answer))

    def test_paid_twice_is_captured_once(self):
        before = self.till.ledger()
        self.till.scan_and_pay(self.order)
        self.problem(self.till.pay(self.code), 409, "not_payable")
        after = self.till.ledger()
        self.assertEqual(after["captured"] - before["captured"], 300)

    def test_many_who_pay_at_once_pay_once(self):
        before = self.till.ledger()["captured"]
        self.till.scan(self.code)
        answers = at_once(*[lambda: self.till.pay(self.code)] * 6)
        self.assertEqual(sorted(a.status for a in answers), [200] + [409] * 5)
        self.assertEqual(self.till.ledger()["captured"] - before, 300)

    def test_the_wallet_of_another_provider_cannot_read_the_code(self):
        for path in ("/wallet/scan", "/wallet/pay"):
            answer = self.till.wallet("POST", path, {"code": self.code, "wallet": "wechatpay"})
            self.assertTrue(400 <= answer.status < 500, repr(answer))
        self.assertEqual(self.till.order(self.order["id"])["state"], "awaiting_payment")

    def test_a_code_nobody_gave_out_is_refused(self):
        for code in ("", "x", "https://qr.alipay.com/bax0000000000000000", "https://example.com/", "weixin://wxpay/bizpayurl?pr=x",
                     self.code + "x", self.code[:-1], "\u0000", "x" * 5000):
            for path in ("/wallet/scan", "/wallet/pay"):
                with self.subTest(f"{path} {code[:50]!r}"):
                    answer = self.till.wallet("POST", path, {"code": code})
                    self.problem(answer, (400, 404, 409, 422))
        for body in ({}, {"cod": self.code}, {"code": 5}, {"code": None}, {"code": self.code, "wallet": "paypal"}, {"code": self.code, "x": 1}):
            for path in ("/wallet/scan", "/wallet/pay"):
                with self.subTest(f"{path} {body}"):
                    self.problem(self.till.wallet("POST", path, body), (400, 404, 422))
        for body in (b"", b"{", b"[]", b'{"code":"\xff"}'):
            with self.subTest(body):
                self.problem(self.till.wallet("POST", "/wallet/pay", body), 400)
        self.problem(self.till.wallet("POST", "/wallet/pay", {"out_trade_no": name("never")}), (404, 409))
        self.problem(self.till.wallet("GET", f"/wallet/trades/{name('never')}"), 404)

    def test_a_trade_begins_with_the_scan(self):
        self.problem(self.till.wallet("GET", f"/wallet/trades/{self.number}"), 404)
        self.till.scan(self.code)
        trade = self.till.wallet("GET", f"/wallet/trades/{self.number}")
        self.assertEqual((trade.status, trade.json["out_trade_no"], trade.json["amount"]), (200, self.number, 300))
        self.till.pay(self.code)
        self.assertEqual(self.till.wallet("GET", f"/wallet/trades/{self.number}").json["state"], "paid")
        listed = self.till.wallet("GET", "/wallet/trades?limit=200")
        self.assertEqual(listed.status, 200)
        self.assertIn(self.number, [t["out_trade_no"] for t in listed.json["data"]])

    def test_the_ledger_is_the_provider_s_own_truth(self):
        before = self.till.ledger()
        self.assertEqual({k: type(v) for k, v in before.items()},
                         {"captured": int, "refunded": int, "trades": int, "refunds": int, "calls": dict})
        self.assertEqual(set(before["calls"]), {"alipay", "wechatpay"})
        self.till.scan_and_pay(self.order)
        self.till.until(self.order["id"], "paid", 1.0)
        after = self.till.ledger()
        self.assertEqual((after["captured"] - before["captured"], after["trades"] - before["trades"], after["refunded"]),
                         (300, 1, before["refunded"]))
        self.till.good("POST", f"/v1/orders/{self.order['id']}/refunds", {"amount": 20}, (201,))
        wait_for(lambda: self.till.order(self.order["id"])["refunded_amount"] == 20, 3, "the refund")
        last = self.till.ledger()
        self.assertEqual((last["refunded"] - after["refunded"], last["refunds"] - after["refunds"]), (20, 1))
        self.assertGreater(last["calls"]["alipay"], before["calls"]["alipay"])

    def test_faults_are_set_shown_and_cleared(self):
        self.addCleanup(self.till.no_faults)
        faults = {"notify": {"drop": 0.5, "duplicate": 0.2, "delay_ms": [0, 5000], "forge": False},
                  "gateway": {"error": 0.1, "timeout": 0.05, "delay_ms": [0, 0], "unavailable": False},
                  "unscanned_close_kills_qr": False, "seed": 1}
        self.till.faults(**faults)
        self.assertEqual(self.till.wallet("GET", "/wallet/faults").json, faults)
        self.till.no_faults()
        calm = self.till.wallet("GET", "/wallet/faults").json
        self.assertEqual((calm["notify"]["drop"], calm["gateway"]["error"], calm["gateway"]["timeout"]), (0, 0, 0))

    def test_faults_that_are_none_are_refused_and_set_nothing(self):
        self.addCleanup(self.till.no_faults)
        before = self.till.wallet("GET", "/wallet/faults").json
        for body in ({"notify": {"drop": 2}}, {"notify": {"drop": -0.1}}, {"notify": {"drop": "all"}}, {"notify": {"dropp": 1}},
                     {"notify": {"delay_ms": [5, 1]}}, {"notify": {"delay_ms": 5}}, {"notify": {"delay_ms": [-1, 5]}},
                     {"gateway": {"unavailable": 1}}, {"gateway": []}, {"weather": "bad"}, {"seed": -1}, {"seed": "x"}, []):
            with self.subTest(body):
                self.problem(self.till.wallet("PUT", "/wallet/faults", body), 400)
                self.assertEqual(self.till.wallet("GET", "/wallet/faults").json, before)

    def test_faults_and_trades_come_back_after_kill_9(self):
        self.addCleanup(self.till.no_faults)
        self.till.faults(notify={"drop": 1})
        faults, paid = self.till.wallet("GET", "/wallet/faults").json, self.till.scan_and_pay(self.order)
        ledger = self.till.ledger()
        self.till.kill()
        self.till.restart()
        self.assertEqual(self.till.wallet("GET", "/wallet/faults").json, faults)
        self.assertEqual(self.till.ledger()["captured"], ledger["captured"])
        trade = self.till.wallet("GET", f"/wallet/trades/{self.number}").json
        self.assertEqual((trade["state"], trade["provider_trade_no"]), ("paid", paid["provider_trade_no"]))

    def test_an_owed_notification_comes_after_kill_9(self):
        self.addCleanup(self.till.no_faults)
        self.till.faults(notify={"delay_ms": [3000, 3000]})
        self.till.scan_and_pay(self.order)
        self.till.kill()
        self.till.restart()
        self.till.advance("4s")
        self.till.until(self.order["id"], "paid", 1.0)
        self.assertIn("notification", [r["kind"] for r in self.till.timeline(self.order["id"])])

    def test_paths_and_methods_that_do_not_exist(self):
        self.problem(self.till.wallet("GET", "/wallet/nothing"), 404)
        self.problem(self.till.wallet("GET", "/nothing"), 404)
        for method, path in (("GET", "/wallet/scan"), ("DELETE", "/wallet/pay"), ("POST", "/wallet/ledger"), ("POST", "/wallet/faults")):
            with self.subTest(f"{method} {path}"):
                self.problem(self.till.wallet(method, path, b"{}" if method == "POST" else None), (404, 405))

    def test_the_page_for_people_is_there(self):
        answer = self.till.wallet("GET", "/wallet")
        self.assertEqual((answer.status, answer.headers["Content-Type"].split(";")[0]), (200, "text/html"))


if __name__ == "__main__":
    unittest.main()

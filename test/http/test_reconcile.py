# SPDX-License-Identifier: Apache-2.0
"""`till reconcile`: the sandbox's daily bills beside the store, and the cases that their differences are.

Each test has a server of its own, since a bill is of a whole day, and begins at three in the afternoon of a day in Shanghai.
"""
import contextlib
import hashlib
import http.server
import json
import os
import tempfile
import threading
import unittest
from datetime import datetime, timedelta, timezone

from harness import Case, Process, Till, call, free_ports, instant, run_till, wait_for
from wechat import Merchant

SHANGHAI = timezone(timedelta(hours=8))


def seconds_to(now, hour, minute=0):
    """To the next time it is so late in Shanghai, at least a minute away."""
    at = datetime.fromtimestamp(now, SHANGHAI)
    then = at.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if then - at < timedelta(minutes=1):
        then += timedelta(days=1)
    return int((then - at).total_seconds()) + 1


def day_of(seconds):
    return datetime.fromtimestamp(seconds, SHANGHAI).strftime("%Y-%m-%d")


def counts(matched=0, missing_here=0, missing_there=0, amount_differs=0):
    return {"matched": matched, "missing_here": missing_here, "missing_there": missing_there, "amount_differs": amount_differs}


class ReconcileCase(Case):
    """A `till dev` for each test."""

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
        self.go_to(15)
        self.day = day_of(self.till.now())

    def go_to(self, hour, minute=0):
        self.till.advance(f"{seconds_to(self.till.now(), hour, minute)}s")

    def paid(self, channel="alipay", amount=100, subject="tea", **more):
        order = self.till.place(channel=channel, amount=amount, subject=subject, **more)
        self.till.scan_and_pay(order)
        return self.till.until(order["id"], "paid")

    def reconcile(self, *flags, date=None):
        """Exit status, what it says as JSON, and stderr."""
        status, out, err = run_till("reconcile", "--data", self.till.data, "--sandbox", self.till.sandbox, "--url", self.till.url,
                                    "--date", date or self.day, "--json", *flags)
        return status, json.loads(out) if out else None, err

    def counted(self, said, channel, subject):
        return {k: v for k, v in said["channels"][channel][subject].items() if k != "amount_there"}

    def cases(self, state="open"):
        return self.till.all(f"/v1/cases?state={state}")


class EverythingMatches(ReconcileCase):
    FLAGS = ("--order.release", "deadline")

    def test_a_day_of_all_kinds_of_money(self):
        for channel in ("alipay", "wechatpay"):
            order = self.paid(channel, 1234, "茶, two\tkinds 🍵")
            for amount in (34, 100):
                self.till.good("POST", f"/v1/orders/{order['id']}/refunds", {"amount": amount}, (201,))
            wait_for(lambda: self.till.order(order["id"])["refunded_amount"] == 134, 20, "the refunds")
            self.paid(channel, 100)
        late = self.till.place(channel="alipay", amount=500, subject="late", pay_within=5)
        self.till.advance("8s")
        self.till.scan_and_pay(late)
        wait_for(lambda: [r["state"] for r in self.till.refunds(late["id"])] == ["succeeded"], 20, "the late money's way back")
        twice = self.till.place(channel="alipay", amount=700, subject="twice")
        other = self.till.good("POST", f"/v1/orders/{twice['id']}/payments", {"channel": "wechatpay"}, (201,))
        self.assertEqual(self.till.pay(other["qr_code"]).status, 200)
        self.till.until(twice["id"], "paid")
        self.till.scan_and_pay(twice)
        wait_for(lambda: [r["state"] for r in self.till.refunds(twice["id"])] == ["succeeded"], 20, "the second capture's way back")
        self.assertEqual(self.reconcile()[0], 1, "the day is not over")
        self.assertIn("not over", self.reconcile()[2])
        self.go_to(11)
        for _ in range(2):
            status, said, err = self.reconcile()
            self.assertEqual((status, err), (0, ""), said)
            self.assertEqual(said["date"], self.day)
            self.assertEqual(self.counted(said, "alipay", "captures"), counts(4))
            self.assertEqual(self.counted(said, "alipay", "refunds"), counts(4))
            self.assertEqual(self.counted(said, "wechatpay", "captures"), counts(3))
            self.assertEqual(self.counted(said, "wechatpay", "refunds"), counts(2))
            self.assertEqual(said["channels"]["alipay"]["captures"]["amount_there"], 1234 + 100 + 500 + 700)
            self.assertEqual(said["channels"]["alipay"]["refunds"]["amount_there"], 134 + 500 + 700)
            self.assertEqual((said["differences"], said["cases"]), ([], {"opened": 0, "known": 0}))
        self.assertEqual(self.cases(), [])
        status, said, _ = self.reconcile("--channel", "wechatpay")
        self.assertEqual((status, list(said["channels"])), (0, ["wechatpay"]))
        status, out, _ = run_till("reconcile", "--data", self.till.data, "--sandbox", self.till.sandbox)  # yesterday
        self.assertEqual(status, 0, out)
        self.assertRegex(out, r"(?m)^alipay +capture +4 +0 +0 +0 +25\.34$")
        self.assertIn("相符", out)

    def test_an_empty_day_is_one_only_from_the_next_morning_on(self):
        self.go_to(2)
        status, said, err = self.reconcile()
        self.assertEqual((status, said), (1, None))
        self.assertIn("no bill", err)
        self.go_to(11)
        self.assertEqual(self.reconcile()[0], 0)


class WhatDiffers(ReconcileCase):
    def test_each_difference_is_one_open_case(self):
        orders = {c: [self.paid(c, amount) for amount in (100, 200)] for c in ("alipay", "wechatpay")}
        stranger = Merchant(self.till.sandbox, os.path.join(self.till.data, "keys"))
        code = stranger.native("NOT_TILLS_OWN_1", 900)
        self.assertEqual(self.till.pay(code).status, 200)
        self.go_to(11)
        self.till.faults(bill={"drop": 1, "alter": True})
        for opened in (5, 0):
            status, said, err = self.reconcile()
            self.assertEqual((status, err), (1, ""), said)
            self.assertEqual(self.counted(said, "alipay", "captures"), counts(0, 0, 1, 1))
            self.assertEqual(self.counted(said, "wechatpay", "captures"), counts(0, 1, 1, 1))
            self.assertEqual(said["cases"], {"opened": opened, "known": 5 - opened})
        cases = {(c["channel"], c["kind"]): c for c in self.cases()}
        self.assertEqual(len(self.cases()), 5)
        for channel, (first, second) in orders.items():
            gone, altered = cases[channel, "missing_there"], cases[channel, "amount_differs"]
            for case, order in ((gone, first), (altered, second)):
                self.assertEqual((case["state"], case["subject"], case["date"]), ("open", "capture", self.day))
                self.assertEqual((case["order"], case["payment"]), (order["id"], order["payment"]["id"]))
                self.assertEqual((case["order_state"], case["payment_state"]), ("paid", "captured"))
                self.assertEqual(case["out_trade_no"], order["payment"]["out_trade_no"])
            self.assertEqual((gone["amount_here"], gone["amount_there"]), (100, 0))
            self.assertEqual((altered["amount_here"], altered["amount_there"]), (200, 201))
        unknown = cases["wechatpay", "missing_here"]
        self.assertEqual((unknown["out_trade_no"], unknown["amount_here"], unknown["amount_there"]), ("NOT_TILLS_OWN_1", 0, 900))
        self.assertNotIn("order", unknown)
        self.assertEqual(self.till.metrics()["till_cases_open"], 5)
        # Nothing was mended.
        for first, second in orders.values():
            for order in (first, second):
                self.assertEqual(self.till.order(order["id"]), order)
        # An operator's word closes one, and it is not found again.
        path = f"/v1/cases/{unknown['id']}"
        closed = self.till.good("POST", path + "/close", {"note": "another shop's 另一家店的"})
        self.assertEqual((closed["state"], closed["note"]), ("closed", "another shop's 另一家店的"))
        self.assertGreaterEqual(instant(closed["closed_at"]), instant(closed["opened_at"]))
        self.assertEqual(self.till.good("POST", path + "/close", {"note": "another shop's 另一家店的"}), closed)
        self.problem(self.till.call("POST", path + "/close", {"note": "no"}), 409, "case_closed")
        self.assertEqual(self.till.good("GET", path), closed)
        self.assertEqual([c["id"] for c in self.cases("closed")], [unknown["id"]])
        self.till.no_faults()
        status, said, _ = self.reconcile()
        self.assertEqual((status, said["cases"]), (1, {"opened": 0, "known": 1}), "it still differs, and somebody knows")
        self.assertEqual(len(self.cases()), 4)
        out = run_till("reconcile", "--data", self.till.data, "--sandbox", self.till.sandbox, "--url", self.till.url, "--date", self.day)[1]
        self.assertIn("wechatpay missing here 本方缺  capture 收款  NOT_TILLS_OWN_1", out)
        self.assertIn("here 本方 -  there 对方 9.00  no order 无订单", out)

    def test_a_bill_that_cannot_be_had_concludes_nothing(self):
        self.paid("alipay")
        self.go_to(11)
        self.till.faults(gateway={"unavailable": True})
        status, said, err = self.reconcile("--channel", "alipay")
        self.assertEqual((status, said), (1, None))
        self.assertIn("the bill of", err)
        self.assertEqual(self.cases(), [])

    def test_cases_as_a_stranger_sends_them(self):
        good = {"kind": "missing_here", "channel": "alipay", "subject": "refund", "out_trade_no": "N", "out_refund_no": "R",
                "amount_here": 0, "amount_there": 5, "date": self.day}
        self.assertEqual(self.till.good("POST", "/v1/cases", {"cases": [good, good]}), {"opened": 1, "known": 1})
        for spoil, code in (({"kind": "unknown_number"}, "unknown_word"), ({"channel": "any"}, "unknown_word"), ({"subject": "x"}, "unknown_word"),
                            ({"amount_here": 5}, "conflicting_fields"), ({"amount_there": 0}, "conflicting_fields"),
                            ({"date": "yesterday"}, "out_of_range"), ({"out_trade_no": "ü"}, "out_of_range"), ({"bogus": 1}, "unknown_field")):
            with self.subTest(spoil):
                answer = self.problem(self.till.call("POST", "/v1/cases", {"cases": [good | spoil]}), 400, code)
                self.assertTrue(answer["pointer"].startswith("/cases/0/"), answer)
        self.problem(self.till.call("POST", "/v1/cases", {"cases": []}), 400, "missing_field")
        self.problem(self.till.call("POST", "/v1/cases", {"cases": [good] * 65}), 400)
        self.problem(self.till.call("GET", "/v1/cases/case_nothing"), 404, "unknown_case")
        self.problem(self.till.call("GET", "/v1/cases?state=half"), 400, "invalid_parameter")
        self.problem(self.till.call("POST", f"/v1/cases/{self.cases()[0]['id']}/close", {}), 400, "missing_field")
        self.problem(self.till.call("DELETE", "/v1/cases"), 405)


class Between:
    """Stands between Till and the sandbox, and spoils what comes back from addresses that begin so."""

    def __init__(self, sandbox):
        self.path, self.spoil, between = None, None, self

        class Handler(http.server.BaseHTTPRequestHandler):
            def pass_on(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = call(sandbox, self.command, self.path, body or None, dict(self.headers))
                out = between.spoil(answer.body) if between.path and self.path.startswith(between.path) else answer.body
                self.send_response(answer.status)
                for key, value in answer.headers.items():
                    if key.lower() not in ("content-length", "connection", "transfer-encoding", "date"):
                        self.send_header(key, value)
                self.send_header("Content-Length", str(len(out)))
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a command that has ended by now
                    self.end_headers()
                    self.wfile.write(out)

            do_GET = do_POST = pass_on

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class SpoiltOnTheWay(ReconcileCase):
    def test_what_was_spoilt_is_no_bill(self):
        self.paid("alipay", 100)
        self.paid("wechatpay", 100)
        self.go_to(11)
        between = Between(self.till.sandbox)
        self.addCleanup(between.close)
        flags = ("--sandbox", between.url)
        self.assertEqual(self.reconcile(*flags)[0], 0, "untouched")
        for channel, path, spoil, reason in (
                ("wechatpay", "/v3/billdownload/", lambda b: b.replace(b"`1.00", b"`1.01"), "the file's hash is another"),
                ("wechatpay", "/v3/billdownload/", lambda b: b[:-2], "the file's hash is another"),
                ("wechatpay", "/v3/bill/", lambda b: b.replace(b"token=", b"token=0"), "bad signature"),
                ("wechatpay", "/v3/bill/", lambda b: b'{"code":"NO_STATEMENT_EXIST"}', "bad signature"),
                ("alipay", "/gateway.do", lambda b: b.replace(b"token=", b"token=0"), "bad signature"),
                ("alipay", "/bill/", lambda b: b[:-30], "no archive"),
                ("alipay", "/bill/", lambda b: b"<html>", "no archive"),
                ("alipay", "/bill/", lambda b: b.replace(b"PK\x01\x02", b"PK\x01\x03"), "no archive")):
            with self.subTest(path=path, reason=reason):
                between.path, between.spoil = path, spoil
                status, said, err = self.reconcile("--channel", channel, *flags)
                self.assertEqual((status, said), (1, None))
                self.assertIn(reason, err)
        self.assertEqual(self.cases(), [])


class AroundMidnight(ReconcileCase):
    """A capture before midnight, noticed after it: its bill is the old day's, its row the new one's."""

    def test_no_day_calls_it_missing(self):
        self.go_to(23, 57)
        old = day_of(self.till.now())
        for channel in ("alipay", "wechatpay"):
            order = self.till.place(channel=channel, amount=100, subject="tea", pay_within=900)
            self.till.advance("2s")
            self.till.faults(notify={"drop": 1})
            self.till.scan_and_pay(order)
            self.assertEqual(day_of(self.till.now()), old)
            self.till.advance("5m")
            self.assertEqual(self.till.order(order["id"])["state"], "paid", "found by a check-back")
            if channel == "alipay":
                self.assertNotEqual(day_of(self.till.now()), old)
                self.till.no_faults()
                self.go_to(23, 57)
                self.go_to(11)
                alipay, old = old, day_of(self.till.now())
                self.go_to(23, 57)
        self.till.no_faults()
        self.go_to(11)
        self.go_to(11)
        for day, channel in ((alipay, "alipay"), (old, "wechatpay")):
            status, said, err = self.reconcile("--channel", channel, date=day)
            self.assertEqual((status, err), (0, ""), said)
            self.assertEqual(self.counted(said, channel, "captures"), counts(1))
            next_day = (datetime.strptime(day, "%Y-%m-%d") + timedelta(days=1)).strftime("%Y-%m-%d")
            status, said, err = self.reconcile("--channel", channel, date=next_day)
            self.assertEqual((status, err), (0, ""), said)
            self.assertEqual(self.counted(said, channel, "captures"), counts(0))


class LostPayment(unittest.TestCase):
    """Paid at the provider while Till could neither hear of it nor ask, and then was not there any more."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="till-lost-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        port, sandbox_port = free_ports(2)
        self.url, self.sandbox = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{sandbox_port}"
        keys = os.path.join(self.folder, "keys")
        self.start(["sandbox", "--listen", f"127.0.0.1:{sandbox_port}", "--keys", keys], (self.sandbox, "/wallet/ledger"), "sandbox")
        with open(os.path.join(keys, "sandbox.json"), encoding="utf-8") as f:
            identity = json.load(f)
        self.channel = ["--alipay.gateway", self.sandbox + "/gateway.do", "--alipay.app_id", identity["app_id"], "--alipay.private_key_file",
                        os.path.join(keys, "app_private_key.pem"), "--alipay.alipay_public_key_file", os.path.join(keys, "alipay_public_key.pem")]
        self.store = f"sqlite:{self.folder}/till.db"
        self.serve = ["serve", "--test-clock", "--listen", f"127.0.0.1:{port}", "--store.url", self.store, *self.channel]

    def start(self, args, ready, name):
        process = Process(args, ready, os.path.join(self.folder, name + ".log"))
        self.addCleanup(process.kill)
        return process.start()

    def good(self, method, path, body=None, base=None):
        answer = call(base or self.url, method, path, body)
        self.assertIn(answer.status, (200, 201), repr(answer))
        return answer.json

    def advance_to(self, end):
        """Every question that finds the gateway away takes a while, and /dev/clock gives up after ten seconds."""
        left = int(end - instant(self.good("GET", "/dev/clock")["now"]))
        if left > 0:
            self.good("POST", "/dev/clock", {"advance": f"{left}s"})
        late = end - instant(self.good("GET", "/dev/clock", None, self.sandbox)["now"])
        if late > 0:
            self.good("POST", "/dev/clock", {"advance": "1s"})
        return late <= 0

    def reconcile(self, day, *flags):
        status, out, err = run_till("reconcile", "--store", self.store, "--date", day, "--json", *self.channel, *flags)
        return status, json.loads(out) if out else None, err

    def test_it_is_a_case_of_its_order_until_somebody_closes_it(self):
        server = self.start(self.serve, (self.url, "/readyz"), "serve")
        now = instant(self.good("GET", "/dev/clock")["now"])
        self.good("POST", "/dev/clock", {"advance": f"{seconds_to(now, 15)}s"})
        day = day_of(instant(self.good("GET", "/dev/clock")["now"]))
        order = self.good("POST", "/v1/orders", {"amount": 880, "subject": "tea", "channel": "alipay"})
        self.good("PUT", "/wallet/faults", {"notify": {"drop": 1}, "gateway": {"unavailable": True}}, self.sandbox)
        self.good("POST", "/wallet/pay", {"code": order["payment"]["qr_code"]}, self.sandbox)
        end = instant(self.good("GET", "/dev/clock")["now"]) + 25 * 3600
        wait_for(lambda: self.advance_to(end), 120, "the next day, at the sandbox too")
        server.kill()
        self.good("DELETE", "/wallet/faults", None, self.sandbox)
        for opened in (1, 0):  # nobody has the store open: the command writes the case itself
            status, said, err = self.reconcile(day)
            self.assertEqual((status, err), (1, ""), said)
            self.assertEqual([(d["kind"], d["order"], d["payment"], d["amount_there"]) for d in said["differences"]],
                             [("missing_here", order["id"], order["payment"]["id"], 880)])
            self.assertEqual(said["cases"], {"opened": opened, "known": 1 - opened})
        self.start(self.serve, (self.url, "/readyz"), "serve")
        self.assertEqual(self.good("POST", f"/v1/orders/{order['id']}/check")["state"], "paid")
        status, said, err = self.reconcile(day, "--url", self.url)
        self.assertEqual((status, err), (0, ""), said)
        case, = self.good("GET", "/v1/cases?state=open")["data"]
        self.assertEqual((case["kind"], case["order"], case["order_state"], case["payment_state"]),
                         ("missing_here", order["id"], "paid", "captured"))
        self.good("POST", f"/v1/cases/{case['id']}/close", {"note": "noticed by itself after the restart"})
        self.assertEqual(self.good("GET", "/v1/cases?state=open")["data"], [])
        status, out, _ = run_till("audit", "--store", self.store, "--sandbox", self.sandbox)
        self.assertEqual(status, 0, out)


class Bills(ReconcileCase):
    """The files themselves, as any merchant gets them."""

    def test_wechat_pays_bill_is_a_text_with_its_hash(self):
        self.paid("wechatpay", 1234, "tea, `two`")
        merchant = Merchant(self.till.sandbox, os.path.join(self.till.data, "keys"))
        early = merchant.ask("GET", f"/v3/bill/tradebill?bill_date={self.day}&bill_type=ALL")
        self.assertEqual((early.status, early.json["code"]), (400, "STATEMENT_CREATING"))
        self.go_to(11)
        empty = merchant.ask("GET", "/v3/bill/tradebill?bill_date=2020-01-01&bill_type=ALL")
        self.assertEqual((empty.status, empty.json["code"]), (400, "NO_STATEMENT_EXIST"))
        said = merchant.ask("GET", f"/v3/bill/tradebill?bill_date={self.day}&bill_type=ALL").json
        self.assertEqual(said["hash_type"], "SHA1")
        target = said["download_url"][len(self.till.sandbox):]
        self.assertEqual(call(self.till.sandbox, "GET", target).status, 401, "nobody gets it unsigned")
        file = call(self.till.sandbox, "GET", target, headers={"Authorization": merchant.authorization("GET", target, b"")})
        self.assertEqual(file.status, 200, repr(file))
        self.assertEqual(hashlib.sha1(file.body).hexdigest(), said["hash_value"])
        self.assertIsNone(file.headers["Wechatpay-Signature"])
        lines = file.body.decode("utf-8-sig").split("\r\n")
        self.assertEqual(lines[0].split(",")[:2], ["交易时间", "公众账号ID"])
        row = dict(zip(lines[0].split(","), lines[1][1:].split(",`")))
        self.assertEqual((row["交易状态"], row["订单金额"], row["交易时间"][:10]), ("SUCCESS", "12.34", self.day))
        self.assertEqual(dict(zip(lines[2].split(","), lines[3][1:].split(",`")))["总交易单数"], "1")
        broken = target[:-4] + ("0000" if target[-4:] != "0000" else "1111")
        answer = call(self.till.sandbox, "GET", broken, headers={"Authorization": merchant.authorization("GET", broken, b"")})
        self.assertEqual(answer.status, 400)


if __name__ == "__main__":
    unittest.main()

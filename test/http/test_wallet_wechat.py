# SPDX-License-Identifier: Apache-2.0
"""The sandbox's WeChat Pay: who may ask, what becomes of an order, refunds, notices, faults, OAuth, payment pages."""
import base64
import itertools
import json
import os
import re
import shutil
import tempfile
import threading
import time
import unittest
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qs, quote, urlsplit

from harness import Process, call, free_ports, instant, raw, wait_for
from wechat import Merchant, Shop

numbers = itertools.count(1)
BEIJING = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+08:00$")


class Sandbox(unittest.TestCase):
    """One `till sandbox` for all tests of a class; each uses numbers of its own."""
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="till-wechat-")
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        cls.url = f"http://127.0.0.1:{free_ports(1)[0]}"
        cls.process = Process(["sandbox", "--listen", cls.url[7:], "--keys", os.path.join(cls.dir, "keys")],
                              (cls.url, "/wallet/ledger"), os.path.join(cls.dir, "stderr.log"))
        cls.process.start()
        cls.addClassCleanup(cls.process.kill)
        cls.merchant = Merchant(cls.url, os.path.join(cls.dir, "keys"))
        cls.shop = Shop()
        cls.addClassCleanup(cls.shop.close)

    @classmethod
    def tearDownClass(cls):
        status, _ = cls.process.stop()
        if status != 0:
            raise AssertionError(f"till sandbox ended with {status}: {cls.process.log()[-2000:]!r}")

    def setUp(self):
        self.number = f"W{os.getpid()}_{next(numbers)}"
        self.notify_url = self.shop.url + "/notify"
        self.shop.notices.clear()
        self.shop.reply = 200
        self.addCleanup(call, self.url, "DELETE", "/wallet/faults")

    # Steps

    def wallet(self, verb, status=200, **body):
        answer = call(self.url, "POST", f"/wallet/{verb}", body)
        self.assertEqual(answer.status, status, repr(answer))
        return answer.json

    def refused(self, answer, status, code):
        self.assertEqual((answer.status, answer.json.get("code")), (status, code), repr(answer))
        self.assertTrue(answer.json["message"], repr(answer))

    def not_payable(self, reason, **body):
        it = self.wallet("pay", 409, **body)
        self.assertEqual((it["code"], it["reason"]), ("not_payable", reason), it)

    def faults(self, **faults):
        answer = call(self.url, "PUT", "/wallet/faults", faults)
        self.assertEqual(answer.status, 200, repr(answer))

    def ledger(self):
        return call(self.url, "GET", "/wallet/ledger").json

    def advance(self, how_far):
        answer = call(self.url, "POST", "/dev/clock", {"advance": how_far})
        self.assertEqual((answer.status, answer.json["settled"]), (200, True), repr(answer))

    def now(self):
        return instant(call(self.url, "GET", "/dev/clock").json["now"])

    def rfc3339(self, seconds_ahead):
        zone = timezone(timedelta(hours=8))
        return datetime.fromtimestamp(self.now() + seconds_ahead, zone).isoformat(timespec="seconds")

    def state(self):
        answer = self.merchant.query(self.number)
        self.assertEqual(answer.status, 200, repr(answer))
        return answer.json["trade_state"]

    def paid(self, total=100, **more):
        """An order that is paid; its transaction_id."""
        code = self.merchant.native(self.number, total, notify_url=self.notify_url, **more)
        return self.wallet("pay", code=code)["provider_trade_no"]

    def idle(self):
        wait_for(lambda: call(self.url, "GET", "/dev/clock").json["idle"], 5, "nothing due and nothing under way")

    def notices(self, n):
        """All that were sent, genuine and opened: [(envelope, resource)]."""
        self.idle()
        self.assertEqual(len(self.shop.notices), n, [body[:200] for _, body in self.shop.notices])
        found = []
        for headers, body in self.shop.notices:
            self.assertTrue(self.merchant.is_genuine(headers, body), headers)
            self.assertTrue(headers["Content-Type"].startswith("application/json"), headers)
            it = json.loads(body)
            found.append((it, json.loads(self.merchant.open_resource(it["resource"]))))
        return found


class Signatures(Sandbox):
    def rows(self):
        """name, what is sent: (method, target, body, Authorization)"""
        m, now = self.merchant, int(time.time())
        native, body = "/v3/pay/transactions/native", json.dumps(m.order(self.number)).encode()
        good = lambda **how: m.authorization("POST", native, body, **how)
        other = m.order(self.number, 1)
        yield "altered body", native, json.dumps(other).encode(), good()
        yield "a space more in the body", native, body + b" ", good()
        yield "altered target", native + "?a=b", body, good()
        yield "signed for another method", native, body, m.authorization("PUT", native, body)
        yield "stale", native, body, good(at=now - 301 - 2)
        yield "from the future", native, body, good(at=now + 301 + 2)
        yield "no time", native, body, good(at="now")
        yield "a time too long", native, body, good(at="0" * 30 + str(now))
        yield "unknown serial", native, body, good(serial="5157F09EFDC096DE15EBE81A47057A7232F1B8E1")
        yield "the serial in lower case", native, body, good(serial=m.identity["merchant_serial"].lower())
        yield "unknown merchant", native, body, good(mchid="1900000001")
        yield "another's key", native, body, good(key="app_private_key.pem")
        yield "no signature", native, body, re.sub(r',signature="[^"]*"', "", good())
        yield "empty signature", native, body, re.sub(r'signature="[^"]*"', 'signature=""', good())
        yield "a signature of nothing", native, body, re.sub(r'signature="[^"]*"', 'signature="AAAA"', good())
        yield "a field twice", native, body, good() + f',mchid="{m.mchid}"'
        yield "a field nobody knows", native, body, good() + ',x="y"'
        yield "another scheme", native, body, good().replace("RSA2048", "SM2")
        yield "no quotes", native, body, good().replace('"', "")
        yield "something behind it", native, body, good() + ","
        yield "a word", native, body, "WECHATPAY2-SHA256-RSA2048"

    def test_whoever_is_not_the_merchant_is_refused_and_changes_nothing(self):
        for name, target, body, authorization in self.rows():
            with self.subTest(name):
                self.refused(self.merchant.ask("POST", target, body, authorization=authorization), 401, "SIGN_ERROR")
        answer = call(self.url, "POST", "/v3/pay/transactions/native", self.merchant.order(self.number))
        self.assertEqual((answer.status, answer.json["code"]), (401, "SIGN_ERROR"), repr(answer))
        self.refused(self.merchant.query(self.number), 404, "ORDER_NOT_EXIST")

    def test_a_replayed_request_is_refused(self):
        target = f"/v3/pay/transactions/out-trade-no/{self.number}?mchid={self.merchant.mchid}"
        authorization = self.merchant.authorization("GET", target, b"")
        self.refused(self.merchant.ask("GET", target, authorization=authorization), 404, "ORDER_NOT_EXIST")
        self.refused(self.merchant.ask("GET", target, authorization=authorization), 401, "SIGN_ERROR")
        self.refused(self.merchant.query(self.number), 404, "ORDER_NOT_EXIST")

    def test_five_minutes_of_real_time_are_good_whatever_the_test_clock_says(self):
        self.advance("1h")
        target = f"/v3/pay/transactions/out-trade-no/{self.number}?mchid={self.merchant.mchid}"
        for off in (-290, 290):
            authorization = self.merchant.authorization("GET", target, b"", at=int(time.time()) + off)
            self.refused(self.merchant.ask("GET", target, authorization=authorization), 404, "ORDER_NOT_EXIST")

    def test_the_fields_may_come_in_any_order_and_the_target_is_signed_as_sent(self):
        target = f"/v3/pay/transactions/out-trade-no/no%20number%7C?mchid={self.merchant.mchid}&x=%2f+~"
        scheme, _, fields = self.merchant.authorization("GET", target, b"").partition(" ")
        turned = ", ".join(reversed(fields.split(",")))
        self.refused(self.merchant.ask("GET", target, authorization=f"{scheme} {turned}"), 404, "ORDER_NOT_EXIST")

    def test_a_wrong_signature_is_answered_with_what_was_signed_over(self):
        it = self.merchant.ask("GET", "/v3/certificates", authorization=self.merchant.authorization("GET", "/v3/certificate", b"")).json
        self.assertEqual((it["detail"]["sign_information"]["method"], it["detail"]["sign_information"]["url"]), ("GET", "/v3/certificates"))

    def test_the_answers_headers_are_spelt_as_the_sdks_look_them_up(self):
        target = "/v3/certificates"
        head = (f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                f"Authorization: {self.merchant.authorization('GET', target, b'')}\r\n\r\n")
        answer = raw(self.url, head.encode()).decode().partition("\r\n\r\n")[0]
        self.assertTrue(answer.startswith("HTTP/1.1 200 "), answer)
        for name in ("Request-ID", "Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial",
                     "Wechatpay-Signature-Type"):
            self.assertIn(f"\r\n{name}: ", answer)

    def test_the_merchant_chooses_the_name_of_the_platforms_key(self):
        certificate, key_id = self.merchant.identity["platform_serial"], self.merchant.identity["platform_key_id"]
        self.assertRegex(certificate, r"^[0-9A-F]{40}$")
        for asked, want in ((None, certificate), ("", certificate), (certificate, certificate), (key_id, key_id), ("x", certificate)):
            with self.subTest(asked):
                self.assertEqual(self.merchant.ask("GET", "/v3/certificates", serial=asked).headers["Wechatpay-Serial"], want)

    def test_the_certificate_comes_encrypted_and_is_the_one_in_the_key_directory(self):
        answer = self.merchant.ask("GET", "/v3/certificates")
        (it,) = answer.json["data"]
        self.assertEqual(it["serial_no"], self.merchant.identity["platform_serial"])
        self.assertRegex(it["effective_time"], BEIJING)
        self.assertRegex(it["expire_time"], BEIJING)
        self.assertEqual(it["encrypt_certificate"]["associated_data"], "certificate")
        with open(self.merchant.path("platform_cert.pem"), "rb") as f:
            self.assertEqual(self.merchant.open_resource(it["encrypt_certificate"]), f.read())

    def test_what_is_not_there_is_said_in_json(self):
        for method, target in (("GET", "/v3/nothing"), ("GET", "/v3/pay/transactions/native"), ("POST", "/v3/certificates"),
                               ("GET", "/v3/pay/transactions/"), ("DELETE", "/v3/certificates")):
            with self.subTest(f"{method} {target}"):
                answer = self.merchant.ask(method, target, {} if method == "POST" else None)
                self.assertEqual(answer.status, 404, repr(answer))


class Orders(Sandbox):
    def test_an_order_exists_as_soon_as_its_code_does(self):
        code = self.merchant.native(self.number, 250, attach="a=b&c")
        self.assertRegex(code, r"^weixin://wxpay/bizpayurl\?pr=\w+$")
        it = self.merchant.query(self.number).json
        self.assertEqual((it["trade_state"], it["amount"], it["attach"], it["out_trade_no"]),
                         ("NOTPAY", {"total": 250, "currency": "CNY"}, "a=b&c", self.number))
        for absent in ("transaction_id", "payer", "success_time", "trade_type", "bank_type"):
            self.assertNotIn(absent, it)
        shown = self.wallet("scan", code=code)
        self.assertEqual((shown["channel"], shown["state"], shown["amount"], shown["subject"], shown["provider_state"]),
                         ("wechatpay", "waiting", 250, "绿茶 tea", "NOTPAY"))
        self.assertNotIn("provider_trade_no", shown)

    def test_paid_is_told_with_everything_and_found_by_either_number(self):
        before = self.ledger()
        transaction_id = self.paid(123)
        it = self.merchant.query(self.number).json
        self.assertEqual((it["trade_state"], it["transaction_id"], it["trade_type"]), ("SUCCESS", transaction_id, "NATIVE"))
        self.assertEqual(it["amount"], {"total": 123, "payer_total": 123, "currency": "CNY", "payer_currency": "CNY"})
        self.assertRegex(it["success_time"], BEIJING)
        self.assertEqual((it["appid"], it["mchid"]), (self.merchant.appid, self.merchant.mchid))
        self.assertTrue(it["payer"]["openid"].startswith("o"))
        same = self.merchant.ask("GET", f"/v3/pay/transactions/id/{transaction_id}?mchid={self.merchant.mchid}")
        self.assertEqual(same.json, it)
        self.assertEqual(self.ledger()["captured"] - before["captured"], 123)
        self.assertEqual(call(self.url, "GET", f"/wallet/trades/{self.number}").json["provider_state"], "SUCCESS")

    def test_what_is_no_order_is_refused(self):
        m, much = self.merchant, "很" * 128
        rows = (
            ("no number", {"out_trade_no": None}, "PARAM_ERROR"), ("a short number", {"out_trade_no": "12345"}, "PARAM_ERROR"),
            ("a long number", {"out_trade_no": "x" * 33}, "PARAM_ERROR"), ("a number with a dot", {"out_trade_no": "abc.def"}, "PARAM_ERROR"),
            ("a number that is one", {"out_trade_no": 1234567}, "PARAM_ERROR"), ("no description", {"description": None}, "PARAM_ERROR"),
            ("an empty description", {"description": ""}, "PARAM_ERROR"), ("a long description", {"description": much}, "PARAM_ERROR"),
            ("an emoji", {"description": "tea 🍵"}, "PARAM_ERROR"), ("no amount", {"amount": None}, "PARAM_ERROR"),
            ("nothing to pay", {"amount": {"total": 0}}, "PARAM_ERROR"), ("less than nothing", {"amount": {"total": -1}}, "PARAM_ERROR"),
            ("yuan", {"amount": {"total": 1.5}}, "PARAM_ERROR"), ("text", {"amount": {"total": "100"}}, "PARAM_ERROR"),
            ("dollars", {"amount": {"total": 1, "currency": "USD"}}, "PARAM_ERROR"), ("no notify_url", {"notify_url": None}, "PARAM_ERROR"),
            ("a notify_url with a query", {"notify_url": "http://127.0.0.1:1/x?y=z"}, "PARAM_ERROR"),
            ("a notify_url elsewhere", {"notify_url": "https://example.com/x"}, "PARAM_ERROR"),
            ("no appid", {"appid": None}, "PARAM_ERROR"), ("another appid", {"appid": "wx0000000000000000"}, "APPID_MCHID_NOT_MATCH"),
            ("no mchid", {"mchid": None}, "PARAM_ERROR"), ("another mchid", {"mchid": "1900000001"}, "PARAM_ERROR"),
            ("time_expire without a zone", {"time_expire": "2126-11-23T10:05:00"}, "PARAM_ERROR"),
            ("time_expire over", {"time_expire": self.rfc3339(-10)}, "PARAM_ERROR"),
            ("time_expire too far", {"time_expire": self.rfc3339(91 * 86400)}, "PARAM_ERROR"),
            ("a long attach", {"attach": "x" * 129}, "PARAM_ERROR"),
        )
        for name, change, code in rows:
            with self.subTest(name):
                self.refused(m.ask("POST", "/v3/pay/transactions/native", m.order(self.number) | change
                                   if None not in change.values() else m.order(self.number, **change)), 400, code)
        self.refused(m.ask("POST", "/v3/pay/transactions/jsapi", m.order(self.number)), 400, "PARAM_ERROR")
        self.refused(m.ask("POST", "/v3/pay/transactions/h5", m.order(self.number)), 400, "PARAM_ERROR")
        self.refused(m.ask("POST", "/v3/pay/transactions/native", b"{"), 400, "PARAM_ERROR")
        self.refused(m.ask("POST", "/v3/pay/transactions/native", b'{"appid":1,"appid":2}'), 400, "PARAM_ERROR")
        self.refused(m.query(self.number), 404, "ORDER_NOT_EXIST")
        self.assertEqual(m.native(self.number, description="很" * 127, out_trade_no=self.number)[:9], "weixin://")

    def test_every_state_and_what_may_be_asked_of_it(self):
        m = self.merchant
        rows = (("waiting", "NOTPAY", 204, None, 200, None), ("paid", "SUCCESS", 400, "INVALID_REQUEST", 403, "OUT_TRADE_NO_USED"),
                ("closed", "CLOSED", 400, "ORDER_CLOSED", 400, "ORDER_CLOSED"))
        for name, state, close_status, close_code, again_status, again_code in rows:
            with self.subTest(name):
                self.number += "x"
                code = m.native(self.number)
                if name == "paid":
                    self.wallet("pay", code=code)
                elif name == "closed":
                    self.assertEqual(m.close(self.number).status, 204)
                self.assertEqual(self.state(), state)
                again = m.ask("POST", "/v3/pay/transactions/native", m.order(self.number))
                self.assertEqual((again.status, again.json.get("code")), (again_status, again_code))
                closed = m.close(self.number)
                self.assertEqual((closed.status, closed.body and closed.json["code"] or None), (close_status, close_code))
                self.assertEqual(self.state(), "CLOSED" if name == "waiting" else state)
                if name != "paid":
                    self.not_payable("closed", code=code)
        self.refused(m.close("nobody_placed_it"), 404, "ORDER_NOT_EXIST")
        self.refused(m.ask("POST", f"/v3/pay/transactions/out-trade-no/{self.number}/close", {"mchid": "1"}), 400, "PARAM_ERROR")
        self.refused(m.ask("GET", f"/v3/pay/transactions/out-trade-no/{self.number}"), 400, "PARAM_ERROR")

    def test_the_same_order_again_gets_a_fresh_code_and_another_is_refused(self):
        m = self.merchant
        first = m.native(self.number)
        second = m.native(self.number)
        self.assertNotEqual(first, second)
        for change in ({"amount": {"total": 99}}, {"description": "x"}, {"attach": "x"}, {"notify_url": "http://127.0.0.1:2/"}):
            with self.subTest(change):
                self.refused(m.ask("POST", "/v3/pay/transactions/native", m.order(self.number) | change), 400, "INVALID_REQUEST")
        jsapi = m.order(self.number) | {"payer": {"openid": "o_somebody"}}
        self.refused(m.ask("POST", "/v3/pay/transactions/jsapi", jsapi), 400, "INVALID_REQUEST")
        self.wallet("pay", code=second)
        self.not_payable("already_paid", code=first)

    def test_time_expire_ends_paying_and_closes_nothing(self):
        code = self.merchant.native(self.number, time_expire=self.rfc3339(300))
        self.advance("5m")
        self.assertEqual(self.state(), "NOTPAY")
        self.not_payable("expired", code=code)
        self.not_payable("expired", out_trade_no=self.number)
        self.advance("3d")
        self.assertEqual(self.state(), "NOTPAY", "nobody closed it")
        self.assertEqual(self.merchant.close(self.number).status, 204)
        self.assertEqual(self.state(), "CLOSED")

    def test_a_time_expire_within_the_minute_is_a_minute(self):
        code = self.merchant.native(self.number, time_expire=self.rfc3339(5))
        self.advance("50s")
        self.wallet("pay", code=code)

    def test_a_code_lives_two_hours_and_a_fresh_one_goes_on(self):
        code = self.merchant.native(self.number)
        self.advance("119m")
        self.assertEqual(self.wallet("scan", code=code)["state"], "waiting")
        self.advance("1m")
        self.not_payable("expired", code=code)
        self.wallet("pay", code=self.merchant.native(self.number))

    def test_h5_has_an_address_for_five_minutes(self):
        m = self.merchant
        body = m.order(self.number) | {"scene_info": {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}}
        url = m.ask("POST", "/v3/pay/transactions/h5", body).json["h5_url"]
        self.assertTrue(url.startswith("https://wx.tenpay.com/"), url)
        self.advance("5m")
        self.not_payable("expired", code=url)
        url = m.ask("POST", "/v3/pay/transactions/h5", body).json["h5_url"]
        self.wallet("pay", code=url + "&redirect_url=" + quote("http://127.0.0.1/back", safe=""))
        self.assertEqual(m.query(self.number).json["trade_type"], "MWEB")

    def test_the_other_wallet_cannot_read_the_code(self):
        self.not_payable("other_wallet", code=self.merchant.native(self.number), wallet="alipay")
        self.assertEqual(self.state(), "NOTPAY")

    def test_everything_comes_back_after_kill_9(self):
        m = self.merchant
        self.paid()
        self.assertEqual(m.refund(self.number, self.number + "r", 40).json["status"], "PROCESSING")
        before, ledger = m.query(self.number).json, self.ledger()
        ledger["calls"]["wechatpay"] += 1  # the query that follows
        self.process.kill()
        self.process.start()
        self.assertEqual((m.query(self.number).json, self.ledger()), (before, ledger))
        self.advance("4s")
        self.assertEqual(m.refund_query(self.number + "r").json["status"], "SUCCESS")


class Refunds(Sandbox):
    def test_accepted_is_not_refunded(self):
        before = self.ledger()
        transaction_id = self.paid()
        answer = self.merchant.refund(self.number, self.number + "r", 40, notify_url=self.notify_url, reason="退货")
        self.assertEqual((answer.status, answer.json["status"]), (200, "PROCESSING"), repr(answer))
        it = answer.json
        self.assertEqual((it["transaction_id"], it["out_trade_no"], it["out_refund_no"], it["channel"]),
                         (transaction_id, self.number, self.number + "r", "ORIGINAL"))
        self.assertEqual((it["amount"]["total"], it["amount"]["refund"], it["amount"]["currency"]), (100, 40, "CNY"))
        self.assertNotIn("success_time", it)
        self.assertEqual(self.state(), "REFUND")
        self.assertEqual(self.ledger()["refunded"], before["refunded"], "no money has moved yet")
        self.advance("4s")
        done = self.merchant.refund_query(self.number + "r").json
        self.assertEqual((done["status"], done["refund_id"]), ("SUCCESS", it["refund_id"]))
        self.assertRegex(done["success_time"], BEIJING)
        after = self.ledger()
        self.assertEqual((after["refunded"] - before["refunded"], after["refunds"] - before["refunds"]), (40, 1))
        event, resource = self.notices(2)[1]
        self.assertEqual((event["event_type"], event["resource"]["original_type"]), ("REFUND.SUCCESS", "refund"))
        self.assertEqual((resource["refund_status"], resource["refund_id"], resource["out_trade_no"], resource["amount"]["refund"]),
                         ("SUCCESS", it["refund_id"], self.number, 40))

    def test_the_same_number_refunds_once_and_is_for_one_refund(self):
        m, r = self.merchant, self.number + "r"
        self.paid()
        first = m.refund(self.number, r, 40).json
        self.assertEqual(m.refund(self.number, r, 40).json, first)
        self.refused(m.refund(self.number, r, 41), 400, "INVALID_REQUEST")
        self.advance("4s")
        self.assertEqual(m.refund(self.number, r, 40).json["status"], "SUCCESS")
        self.assertEqual(call(self.url, "GET", f"/wallet/trades/{self.number}").json["refunded_amount"], 40)
        self.number += "x"
        self.paid()
        self.refused(m.refund(self.number, r, 40), 400, "INVALID_REQUEST")

    def test_never_more_than_was_paid_whatever_is_still_under_way(self):
        m, n = self.merchant, self.number
        self.paid()
        self.assertEqual(m.refund(n, n + "a", 60).status, 200)
        self.refused(m.refund(n, n + "b", 41), 400, "INVALID_REQUEST")
        self.assertEqual(m.refund(n, n + "c", 40).status, 200)
        self.refused(m.refund(n, n + "d", 1), 400, "INVALID_REQUEST")
        self.advance("4s")
        self.refused(m.refund(n, n + "e", 1), 400, "INVALID_REQUEST")
        self.assertEqual(self.state(), "REFUND")
        trade = call(self.url, "GET", f"/wallet/trades/{n}").json
        self.assertEqual((trade["state"], trade["refunded_amount"]), ("refunded", 100))

    def test_an_order_has_at_most_fifty(self):
        self.paid()
        for i in range(50):
            self.assertEqual(self.merchant.refund(self.number, f"{self.number}_{i}", 1).status, 200)
        self.refused(self.merchant.refund(self.number, f"{self.number}_50", 1), 400, "INVALID_REQUEST")

    def test_what_is_no_refund_is_refused(self):
        m = self.merchant
        self.refused(m.refund("nobody_placed_it", self.number, 1), 404, "RESOURCE_NOT_EXISTS")
        self.refused(m.refund_query("nobody_asked"), 404, "RESOURCE_NOT_EXISTS")
        m.native(self.number)
        self.refused(m.refund(self.number, self.number, 1), 403, "TRADE_ERROR")
        self.wallet("pay", out_trade_no=self.number)
        self.refused(m.refund(self.number, self.number, 1, total=99), 400, "INVALID_REQUEST")
        good = {"out_trade_no": self.number, "out_refund_no": self.number, "amount": {"refund": 1, "total": 100, "currency": "CNY"}}
        for name, change in (("no number", {"out_refund_no": ""}), ("a bad number", {"out_refund_no": "a b"}), ("of nothing", {"out_trade_no": ""}),
                             ("no currency", {"amount": {"refund": 1, "total": 100}}), ("nothing", {"amount": {"refund": 0, "total": 100, "currency": "CNY"}}),
                             ("a long reason", {"reason": "x" * 81}), ("a query", {"notify_url": "http://127.0.0.1:1/?x"})):
            with self.subTest(name):
                self.refused(m.ask("POST", "/v3/refund/domestic/refunds", good | change), 400, "PARAM_ERROR")
        self.assertEqual(self.state(), "SUCCESS")

    def test_a_refund_by_transaction_id(self):
        transaction_id = self.paid()
        answer = self.merchant.ask("POST", "/v3/refund/domestic/refunds",
                                   {"transaction_id": transaction_id, "out_refund_no": self.number, "amount": {"refund": 1, "total": 100, "currency": "CNY"}})
        self.assertEqual((answer.status, answer.json["out_trade_no"]), (200, self.number), repr(answer))

    def test_every_way_a_refund_may_end(self):
        before = self.ledger()
        for outcome, status, event in (("abnormal", "ABNORMAL", "REFUND.ABNORMAL"), ("closed", "CLOSED", "REFUND.CLOSED")):
            with self.subTest(outcome):
                self.number += "x"
                self.faults(refund={"wechatpay": outcome})
                self.paid()
                self.merchant.refund(self.number, self.number, 100, notify_url=self.notify_url)
                self.advance("4s")
                it = self.merchant.refund_query(self.number).json
                self.assertEqual(it["status"], status)
                self.assertNotIn("success_time", it)
                envelope, resource = self.notices(2)[1]
                self.assertEqual((envelope["event_type"], resource["refund_status"]), (event, status))
                self.assertEqual(self.ledger()["refunded"], before["refunded"])
                again = self.merchant.refund(self.number, self.number + "again", 100)
                self.assertEqual(again.status, 200 if outcome == "closed" else 400, "what was closed was not given back")
                self.shop.notices.clear()

    def test_a_refund_that_stays_processing_goes_on_when_the_fault_is_lifted(self):
        self.faults(refund={"wechatpay": "processing"})
        self.paid()
        self.merchant.refund(self.number, self.number, 100)
        self.advance("2d")
        self.assertEqual(self.merchant.refund_query(self.number).json["status"], "PROCESSING")
        self.faults()
        wait_for(lambda: self.merchant.refund_query(self.number).json["status"] == "SUCCESS", 5, "the refund")


class Notices(Sandbox):
    GAPS = "15s 15s 30s 3m 10m 20m 30m 30m 30m 60m 3h 3h 3h 6h 6h".split()

    def test_a_payment_is_told_encrypted_and_signed(self):
        transaction_id = self.paid(attach="what was attached")
        envelope, resource = self.notices(1)[0]
        self.assertEqual((envelope["event_type"], envelope["resource_type"]), ("TRANSACTION.SUCCESS", "encrypt-resource"))
        self.assertRegex(envelope["create_time"], BEIJING)
        self.assertEqual((envelope["resource"]["original_type"], envelope["resource"]["associated_data"]), ("transaction", "transaction"))
        self.assertEqual(resource, self.merchant.query(self.number).json, "a notice and an answer say the same")
        self.assertEqual((resource["transaction_id"], resource["trade_state"], resource["attach"]), (transaction_id, "SUCCESS", "what was attached"))
        self.assertEqual(self.shop.notices[0][0]["Wechatpay-Serial"], self.merchant.identity["platform_serial"])

    def test_who_asked_under_the_public_key_is_told_under_it(self):
        key_id = self.merchant.identity["platform_key_id"]
        body = self.merchant.order(self.number, notify_url=self.notify_url)
        code = self.merchant.ask("POST", "/v3/pay/transactions/native", body, serial=key_id).json["code_url"]
        self.wallet("pay", code=code)
        self.notices(1)
        self.assertEqual(self.shop.notices[0][0]["Wechatpay-Serial"], key_id)

    def test_it_comes_again_on_schedule_until_it_is_given_up(self):
        self.shop.reply = 500
        self.paid()
        self.notices(1)
        for i, gap in enumerate(self.GAPS):
            due = instant(call(self.url, "GET", "/dev/clock").json["next_due"])
            seconds = int(gap[:-1]) * {"s": 1, "m": 60, "h": 3600}[gap[-1]]
            self.assertAlmostEqual(due - self.now(), seconds, delta=5, msg=f"gap {i + 1}")
            self.advance(gap)
            self.idle()
            self.assertEqual(len(self.shop.notices), i + 2)
        told = self.notices(16)
        self.assertEqual(len({envelope["id"] for envelope, _ in told}), 1, "one notice, one id")
        self.assertEqual(len({envelope["resource"]["nonce"] for envelope, _ in told}), 16, "no nonce twice under one key")
        self.assertNotIn("next_due", call(self.url, "GET", "/dev/clock").json)
        self.advance("15d")
        self.assertEqual(len(self.shop.notices), 16)

    def test_200_and_204_end_it_and_nothing_else_does(self):
        for status, n in ((200, 1), (204, 1), (201, 2), (202, 2), (302, 2), (401, 2), (500, 2)):
            with self.subTest(status):
                self.number += "x"
                self.shop.notices.clear()
                self.shop.reply = status
                self.paid()
                self.idle()
                self.advance("15s")
                self.idle()
                self.shop.reply = 200
                self.advance("15s")
                self.idle()
                self.assertEqual(len(self.shop.notices), n if n == 1 else 3)

    def test_closing_and_unpaid_ends_are_not_told(self):
        self.merchant.native(self.number, notify_url=self.notify_url, time_expire=self.rfc3339(60))
        self.advance("10m")
        self.merchant.close(self.number)
        self.notices(0)

    def test_dropped_duplicated_and_delayed(self):
        self.faults(notify={"drop": 1})
        self.paid()
        self.advance("2d")
        self.notices(0)
        self.number += "x"
        self.faults(notify={"duplicate": 1})
        self.paid()
        self.assertEqual(len({envelope["id"] for envelope, _ in self.notices(2)}), 1)
        self.shop.notices.clear()
        self.number += "x"
        self.faults(notify={"delay_ms": [60000, 60000]})
        self.paid()
        self.notices(0)
        self.advance("61s")
        self.notices(1)

    def test_forged_ones_come_besides_in_three_kinds(self):
        self.faults(notify={"forge": True})
        kinds = set()
        for _ in range(3):
            self.number += "x"
            self.shop.notices.clear()
            self.paid()
            self.idle()
            self.assertEqual(len(self.shop.notices), 2)
            genuine = [(h, b) for h, b in self.shop.notices if self.merchant.is_genuine(h, b)]
            (false,) = [h for h, b in self.shop.notices if not self.merchant.is_genuine(h, b)]
            self.assertEqual(len(genuine), 1)
            known = false["Wechatpay-Serial"] == self.merchant.identity["platform_serial"]
            probe = false["Wechatpay-Signature"].startswith("WECHATPAY/SIGNTEST/")
            kinds.add("probe" if probe and known else "key" if known else "serial")
            base64.b64decode(false["Wechatpay-Signature"], validate=True)
        self.assertEqual(kinds, {"probe", "key", "serial"})


class Faults(Sandbox):
    def test_an_error_says_nothing_about_what_was_done(self):
        self.faults(gateway={"error": 1}, seed=3)
        m, done = self.merchant, []
        for i in range(12):
            self.refused(m.ask("POST", "/v3/pay/transactions/native", m.order(f"{self.number}_{i}")), 500, "SYSTEM_ERROR")
        self.faults()
        done = [m.query(f"{self.number}_{i}").status for i in range(12)]
        self.assertEqual(set(done), {200, 404}, "some were carried out and some were not")

    def test_unavailable(self):
        self.faults(gateway={"unavailable": True})
        self.refused(self.merchant.ask("POST", "/v3/pay/transactions/native", self.merchant.order(self.number)), 503, "SERVICE_UNAVAILABLE")
        self.faults()
        self.refused(self.merchant.query(self.number), 404, "ORDER_NOT_EXIST")

    def test_a_hanging_gateway_hangs(self):
        self.faults(gateway={"timeout": 1})
        with self.assertRaises(TimeoutError):
            self.merchant.ask("POST", "/v3/pay/transactions/native", self.merchant.order(self.number), timeout=1)

    def test_a_delay_delays(self):
        self.faults(gateway={"delay_ms": [700, 700]})
        begin = time.monotonic()
        self.merchant.native(self.number)
        self.assertGreater(time.monotonic() - begin, 0.65)

    def test_too_many_requests_and_a_refund_may_have_happened(self):
        m = self.merchant
        self.paid(100)
        self.faults(gateway={"rate_limit": 1}, seed=5)
        self.refused(m.query(self.number), 429, "RATELIMIT_EXCEEDED")
        self.refused(m.close(self.number), 429, "RATELIMIT_EXCEEDED")
        for i in range(8):
            self.refused(m.refund(self.number, f"{self.number}_{i}", 1), 429, "RATELIMIT_EXCEEDED")
        self.faults()
        self.assertEqual({m.refund_query(f"{self.number}_{i}").status for i in range(8)}, {200, 404})

    def test_the_new_switches_are_shown_where_they_are_set(self):
        self.faults(gateway={"rate_limit": 0.25}, refund={"wechatpay": "abnormal"})
        it = call(self.url, "GET", "/wallet/faults").json
        self.assertEqual((it["gateway"]["rate_limit"], it["refund"]), (0.25, {"wechatpay": "abnormal"}))
        for wrong in ({"refund": {"wechatpay": "lost"}}, {"refund": {"alipay": "abnormal"}}, {"refund": {"bank": "success"}}, {"refund": 1},
                      {"gateway": {"rate_limit": 2}}):
            with self.subTest(wrong):
                self.assertEqual(call(self.url, "PUT", "/wallet/faults", wrong).status, 400)
        self.assertEqual(call(self.url, "GET", "/wallet/faults").json, it)

    def test_calls_are_counted_but_not_certificates_nor_oauth(self):
        before = self.ledger()["calls"]
        self.merchant.native(self.number)
        self.merchant.query(self.number)
        self.merchant.close(self.number)
        self.merchant.ask("GET", "/v3/certificates")
        call(self.url, "GET", "/sns/oauth2/access_token")
        after = self.ledger()["calls"]
        self.assertEqual((after["wechatpay"] - before["wechatpay"], after["alipay"] - before["alipay"]), (3, 0))


class OAuth(Sandbox):
    def authorize(self, redirect_uri="http://127.0.0.1:9/back?x=y#part", headers=None, **more):
        query = {"appid": self.merchant.appid, "redirect_uri": redirect_uri, "response_type": "code", "scope": "snsapi_base", "state": "s & t"} | more
        return call(self.url, "GET", "/connect/oauth2/authorize?" + "&".join(f"{k}={quote(v, safe='')}" for k, v in query.items()), headers=headers)

    def code(self, **how):
        answer = self.authorize(**how)
        self.assertEqual(answer.status, 302, repr(answer))
        return parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]

    def token(self, the_code, **more):
        query = {"appid": self.merchant.appid, "secret": self.merchant.app_secret, "code": the_code, "grant_type": "authorization_code"} | more
        answer = call(self.url, "GET", "/sns/oauth2/access_token?" + "&".join(f"{k}={quote(v, safe='')}" for k, v in query.items()))
        self.assertEqual(answer.status, 200, repr(answer))
        return answer.json

    def test_the_browser_comes_back_with_a_code_and_its_state(self):
        there = urlsplit(self.authorize().headers["Location"])
        query = parse_qs(there.query)
        self.assertEqual((there.netloc, there.path, there.fragment, query["x"], query["state"]), ("127.0.0.1:9", "/back", "part", ["y"], ["s & t"]))
        it = self.token(query["code"][0])
        self.assertRegex(it["openid"], r"^o[0-9A-Za-z_-]{27}$")
        self.assertEqual((it["expires_in"], it["scope"]), (7200, "snsapi_base"))

    def test_a_code_is_good_once(self):
        code = self.code()
        self.assertIn("openid", self.token(code))
        self.assertEqual(self.token(code)["errcode"], 40163)

    def test_a_code_is_good_for_five_minutes(self):
        code = self.code()
        self.advance("5m")
        self.assertIn("errcode", self.token(code))

    def test_a_code_survives_kill_9_and_so_does_its_end(self):
        code, used = self.code(), self.code()
        self.token(used)
        self.process.kill()
        self.process.start()
        self.assertEqual(self.token(used)["errcode"], 40163)
        self.assertIn("openid", self.token(code))

    def test_who_asks_wrongly_gets_no_openid(self):
        code = self.code()
        for change, errcode in (({"appid": "wx0"}, 40013), ({"secret": "0" * 32}, 40125), ({"secret": ""}, 40125), ({"grant_type": "x"}, 40002),
                                ({"code": ""}, 41008), ({"code": "nobody"}, 40029)):
            with self.subTest(change):
                self.assertEqual(self.token(code, **change)["errcode"], errcode)
        self.assertIn("openid", self.token(code), "none of them used it up")

    def test_authorize_refuses_what_it_cannot_do(self):
        for change in ({"appid": "wx0"}, {"redirect_uri": "javascript:alert(1)"}, {"redirect_uri": "/here"}, {"redirect_uri": "http://x/\r\nSet-Cookie: a=b"},
                       {"response_type": "token"}, {"scope": "all"}, {"state": "x" * 200}):
            with self.subTest(change):
                answer = self.authorize(**change)
                self.assertEqual((answer.status, answer.headers["Location"]), (400, None), repr(answer))

    def test_everybody_has_an_openid_of_his_own(self):
        demo, again = self.token(self.code())["openid"], self.token(self.code())["openid"]
        ann = self.token(self.code(headers={"Sandbox-Wallet-User": "ann"}))["openid"]
        self.assertEqual(demo, again)
        self.assertNotEqual(demo, ann)


class Pages(Sandbox):
    """A payment page as Till's, played by the test: `/pay/x` looks at the browser."""

    def setUp(self):
        super().setUp()
        self.page, self.agents = f"{self.shop.url}/pay/x", []
        self.jsapi = self.params = None
        self.shop.pages.clear()
        self.shop.pages["/pay/x"] = self.enter
        self.shop.pages["/pay/x/wechat"] = self.wechat

    def enter(self, request):
        agent = request.headers["User-Agent"]
        self.agents.append(agent)
        if "MicroMessenger" in agent:
            back = quote(self.page + "/wechat", safe="")
            return 302, {"Location": f"{self.url}/connect/oauth2/authorize?appid={self.merchant.appid}&redirect_uri={back}"
                                     "&response_type=code&scope=snsapi_base&state=once#wechat_redirect"}, b""
        return 200, {"Content-Type": "text/html"}, b"<p>choose</p>"

    def wechat(self, request):
        query = parse_qs(urlsplit(request.path).query)
        self.assertEqual(query["state"], ["once"])
        it = call(self.url, "GET", f"/sns/oauth2/access_token?appid={self.merchant.appid}&secret={self.merchant.app_secret}"
                                   f"&code={query['code'][0]}&grant_type=authorization_code").json
        body = self.merchant.order(self.number) | {"payer": {"openid": it["openid"]}}
        prepay_id = self.merchant.ask("POST", "/v3/pay/transactions/jsapi", body).json["prepay_id"]
        params = json.dumps(self.merchant.pay_sign(prepay_id, **(self.params or {})))
        html = f'<!doctype html><script>var x;</script><script type="application/json" id="jsapi">{params}</script>'
        return 200, {"Content-Type": "text/html"}, (self.jsapi or html).encode()

    def test_wechat_opens_a_page_signs_in_and_pays(self):
        shown = self.wallet("scan", code=self.page, wallet="wechatpay")
        self.assertEqual((shown["channel"], shown["out_trade_no"], shown["state"]), ("wechatpay", self.number, "waiting"))
        paid = self.wallet("pay", code=self.page, wallet="wechatpay")
        self.assertEqual((paid["state"], paid["out_trade_no"]), ("paid", self.number))
        it = self.merchant.query(self.number).json
        self.assertEqual((it["trade_state"], it["trade_type"]), ("SUCCESS", "JSAPI"))
        self.assertTrue(all("MicroMessenger" in agent for agent in self.agents), self.agents)

    def test_who_pays_is_who_signed_in(self):
        self.wallet("pay", code=self.page, wallet="wechatpay", user="ann")
        ann = self.merchant.query(self.number).json["payer"]["openid"]
        self.number += "x"
        self.wallet("pay", code=self.page, wallet="wechatpay")
        self.assertNotEqual(self.merchant.query(self.number).json["payer"]["openid"], ann)

    def test_parameters_the_merchant_did_not_sign_are_not_paid(self):
        for change in ({"paySign": "AAAA"}, {"timeStamp": "1"}, {"package": "prepay_id=wx1"}, {"appId": "wx0"}, {"signType": "MD5"}, {"nonceStr": 5}):
            with self.subTest(change):
                self.params = change
                self.not_payable("page_false", code=self.page, wallet="wechatpay")
        for html in ('<script id="jsapi">{</script>', '<script id="jsapi">[]</script>'):
            with self.subTest(html):
                self.jsapi = html
                self.not_payable("page_false", code=self.page, wallet="wechatpay")
        self.assertEqual(self.state(), "NOTPAY")

    def test_a_page_that_offers_nothing(self):
        for html in ("<p>closed</p>", "<script", '<script id="jsapi">', "<script id='x'></script>"):
            with self.subTest(html):
                self.jsapi = html
                self.not_payable("page_empty", code=self.page, wallet="wechatpay")
        self.not_payable("page_empty", code=self.shop.url + "/nothing", wallet="wechatpay")
        self.not_payable("page_empty", code=self.page)

    def test_without_a_wallet_it_is_opened_by_alipays(self):
        self.not_payable("page_empty", code=self.page)
        self.not_payable("page_empty", code=self.page, wallet="alipay")
        self.assertEqual(len(self.agents), 2)
        self.assertTrue(all("AlipayClient" in agent and "MicroMessenger" not in agent for agent in self.agents), self.agents)

    def test_a_native_code_cannot_be_reached_from_a_page(self):
        code = self.merchant.native(self.number)
        self.shop.pages["/pay/x"] = lambda _: (302, {"Location": code}, b"")
        for wallet in ("alipay", "wechatpay"):
            self.not_payable("page_empty", code=self.page, wallet=wallet)

    def test_only_this_machine_is_opened(self):
        for url in ("http://192.0.2.1/", "https://example.com/pay", "http://localhost.example.com/", "http://127.0.0.1@192.0.2.1/", "http://[::ffff:192.0.2.1]/"):
            with self.subTest(url):
                self.not_payable("page_elsewhere", code=url, wallet="wechatpay")
        for location in ("http://192.0.2.1/", "file:///etc/passwd", "gopher://127.0.0.1/"):
            with self.subTest(location):
                self.shop.pages["/pay/x"] = lambda _, to=location: (302, {"Location": to}, b"")
                self.assertEqual(self.wallet("scan", 409, code=self.page, wallet="wechatpay")["code"], "not_payable")

    def test_hops_and_bytes_are_bounded(self):
        hits = []

        def again(request):
            hits.append(request.path)
            return 302, {"Location": self.page}, b""

        self.shop.pages["/pay/x"] = again
        self.not_payable("page_empty", code=self.page)
        self.assertEqual(len(hits), 8)
        self.shop.pages["/pay/x"] = lambda _: (200, {}, b"x" * (256 * 1024 + 1))
        self.not_payable("page_away", code=self.page)
        self.not_payable("page_away", code=f"http://127.0.0.1:{free_ports(1)[0]}/pay")

    def test_a_slow_page_holds_up_nobody_and_is_given_up(self):
        gate = threading.Event()
        self.addCleanup(gate.set)
        self.shop.pages["/pay/x"] = lambda _: (gate.wait(20), (200, {}, b""))[1]
        begin, got = time.monotonic(), []
        waiter = threading.Thread(target=lambda: got.append(call(self.url, "POST", "/wallet/scan", {"code": self.page})))
        waiter.start()
        time.sleep(0.2)
        asked = time.monotonic()
        self.merchant.native(self.number)
        self.assertLess(time.monotonic() - asked, 2)
        waiter.join(15)
        self.assertEqual((got[0].status, got[0].json["reason"]), (409, "page_away"))
        self.assertTrue(4.5 < time.monotonic() - begin < 9, time.monotonic() - begin)

    def test_sigterm_does_not_wait_for_a_page(self):
        gate = threading.Event()
        self.addCleanup(gate.set)
        self.shop.pages["/pay/x"] = lambda _: (gate.wait(20), (200, {}, b""))[1]

        def ask():
            try:
                call(self.url, "POST", "/wallet/scan", {"code": self.page})
            except OSError:
                pass  # the sandbox has gone
            except Exception:  # or hung up in the middle
                pass

        waiter = threading.Thread(target=ask)
        waiter.start()
        time.sleep(0.2)
        status, seconds = self.process.stop()
        self.process.start()
        waiter.join(15)
        self.assertEqual(status, 0)
        self.assertLess(seconds, 4)

if __name__ == "__main__":
    unittest.main()

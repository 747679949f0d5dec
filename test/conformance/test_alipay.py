# SPDX-License-Identifier: Apache-2.0
"""Alipay's own SDKs at the sandbox's gateway: npm alipay-sdk and com.alipay.sdk:alipay-sdk-java, signatures verified both ways."""
import html.parser
import itertools
import os
import re
import unittest
from urllib.parse import parse_qsl, urlencode, urlsplit

import sdk
from harness import Recorder, wait_for

SUBJECT = "绿茶 100% + 1 \"é\" 🍵"  # what breaks when text is decoded twice, or signed in another charset
NOT_BELIEVED = "验签失败|验签遭遇异常|sign check fail|check Sign|check Cert and Data|证书校验失败"
numbers = itertools.count(1)


def setUpModule():
    sdk.need(sdk.node_path, sdk.class_path)
    sdk.open_for_module(Gateway, box=sdk.Sandbox, stranger=sdk.Sandbox, node=lambda: sdk.Node("alipay.js"), java=lambda: sdk.Java("Alipay"))


class Form(html.parser.HTMLParser):
    """The one form of a page: where it goes, its hidden fields, its buttons, and the text around it."""

    def __init__(self, page):
        super().__init__()
        self.action, self.method, self.fields, self.buttons, self.text = None, None, {}, [], ""
        # As browsers do in attributes: `&not` is no reference when a letter follows.
        self.feed(re.sub(r"&(?!(?:amp|lt|gt|quot|#\d+);)", "&amp;", page))

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        if tag == "form":
            self.action, self.method = a["action"], a["method"].lower()
        elif tag == "input" and a.get("name"):
            self.fields[a["name"]] = a["value"]
        elif tag == "button":
            self.buttons.append((a["name"], a["value"]))

    def handle_data(self, data):
        self.text += data


class Gateway:
    """The cases; each SDK is a class below. Answers are compared under the names the SDK gives them (camel case)."""
    box = stranger = node = java = None  # one sandbox for all, one that has other keys, and the SDKs
    program = None  # one of those

    @classmethod
    def setUpClass(cls):
        cls.shop = Recorder()  # where notifications go; it answers 503 unless told what to say
        cls.addClassCleanup(cls.shop.close)
        cls.program.call("init", **cls.options())

    def setUp(self):
        self.number = f"C{os.getpid()}_{next(numbers)}"
        self.addCleanup(self.box.faults)

    # An SDK's four steps

    def run_method(self, method, biz, **more):
        return self.program.call("exec", method=method, bizContent=biz, **more)

    def precreate(self, amount="88.80", **more):
        answer = self.run_method("alipay.trade.precreate", {"out_trade_no": self.number, "total_amount": amount, "subject": SUBJECT},
                                 **more)
        self.assertEqual(answer["code"], "10000", answer)
        return answer["qrCode"]

    def query(self):
        return self.run_method("alipay.trade.query", {"out_trade_no": self.number})

    def refused(self, answer, sub_code, code="40004"):
        self.assertEqual((answer["code"], answer["subCode"]), (code, sub_code), answer)

    def notices(self, n):
        """The first n notifications about this test's trade, as fields."""
        wait_for(lambda: len(self.shop.of(self.number)) >= n, 20, f"{n} notifications of {self.number}")
        return [dict(parse_qsl(body.decode(), strict_parsing=True, keep_blank_values=True))
                for _, _, body, _, _ in self.shop.of(self.number)[:n]]

    # The life of a trade

    def test_a_code_is_no_trade_until_somebody_scans_it(self):
        code = self.precreate()
        self.assertTrue(code.startswith("https://qr.alipay.com/"), code)
        self.assertEqual(self.precreate(), code, "the same request, the same code")
        answer = self.query()
        self.refused(answer, "ACQ.TRADE_NOT_EXIST")
        self.assertEqual(answer["outTradeNo"], self.number)
        self.assertEqual(answer["receiptAmount"], "0.00")
        self.refused(self.run_method("alipay.trade.close", {"out_trade_no": self.number}), "ACQ.TRADE_NOT_EXIST")
        answer = self.run_method("alipay.trade.cancel", {"out_trade_no": self.number})
        self.assertEqual((answer["code"], answer["retryFlag"], answer.get("action")), ("10000", "N", None), answer)
        self.box.wallet("scan", code=code)
        answer = self.query()
        self.assertEqual((answer["code"], answer["tradeStatus"], answer["totalAmount"]), ("10000", "WAIT_BUYER_PAY", "88.80"), answer)

    def test_paid_and_refunded_in_two_parts(self):
        code = self.precreate()
        self.assertEqual(self.box.wallet("scan", code=code)["subject"], SUBJECT)
        trade_no = self.box.wallet("pay", code=code)["provider_trade_no"]
        answer = self.query()
        self.assertEqual((answer["tradeStatus"], answer["tradeNo"], answer["totalAmount"], answer["buyerPayAmount"]),
                         ("TRADE_SUCCESS", trade_no, "88.80", "88.80"), answer)
        self.assertEqual(len(answer["fundBillList"]), 1)
        first = {"out_trade_no": self.number, "refund_amount": "8.80", "out_request_no": "r1"}
        answer = self.run_method("alipay.trade.refund", first)
        self.assertEqual((answer["code"], answer["fundChange"], answer["refundFee"]), ("10000", "Y", "8.80"), answer)
        answer = self.run_method("alipay.trade.refund", first)
        self.assertEqual((answer["fundChange"], answer["refundFee"]), ("N", "8.80"), "once, however often it is asked")
        self.refused(self.run_method("alipay.trade.refund", {**first, "refund_amount": "8.81"}), "ACQ.DISCORDANT_REPEAT_REQUEST")
        answer = self.run_method("alipay.trade.refund", {"out_trade_no": self.number, "refund_amount": "80", "out_request_no": "r2"})
        self.assertEqual((answer["fundChange"], answer["refundFee"]), ("Y", "88.80"), "the sum of the trade's refunds")
        asked = {"out_trade_no": self.number, "out_request_no": "r2"}
        answer = self.run_method("alipay.trade.fastpay.refund.query", asked)
        self.assertEqual((answer["refundStatus"], answer["refundAmount"], answer["totalAmount"], answer["outRequestNo"]),
                         ("REFUND_SUCCESS", "80.00", "88.80", "r2"), answer)
        answer = self.run_method("alipay.trade.fastpay.refund.query", {**asked, "out_request_no": "r3"})
        self.assertEqual((answer["code"], answer.get("refundStatus")), ("10000", None), "the query worked, there is no such refund")
        self.assertEqual(self.query()["tradeStatus"], "TRADE_CLOSED")

    def test_close_and_cancel_by_state(self):
        code = self.precreate()
        self.box.wallet("scan", code=code)
        answer = self.run_method("alipay.trade.close", {"out_trade_no": self.number})
        self.assertEqual((answer["code"], answer["outTradeNo"]), ("10000", self.number), answer)
        self.assertEqual(self.query()["tradeStatus"], "TRADE_CLOSED")
        self.refused(self.run_method("alipay.trade.close", {"out_trade_no": self.number}), "ACQ.REASON_TRADE_STATUS_INVALID")
        self.number += "b"
        code = self.precreate()
        self.box.wallet("scan", code=code)
        answer = self.run_method("alipay.trade.cancel", {"out_trade_no": self.number})
        self.assertEqual((answer["code"], answer["action"]), ("10000", "close"), answer)
        self.number += "c"
        code = self.precreate()
        self.box.wallet("pay", code=code)
        self.refused(self.run_method("alipay.trade.close", {"out_trade_no": self.number}), "ACQ.REASON_TRADE_STATUS_INVALID")
        answer = self.run_method("alipay.trade.cancel", {"out_trade_no": self.number})
        self.assertEqual((answer["code"], answer["action"]), ("10000", "refund"), "a capture and its refund in one answer")

    def test_notifications_pass_the_sdks_own_check_and_altered_ones_do_not(self):
        code = self.precreate(notifyUrl=self.shop.url + "/notify")
        self.box.wallet("pay", code=code)
        self.run_method("alipay.trade.refund", {"out_trade_no": self.number, "refund_amount": "88.80", "out_request_no": "r"})
        wait_for(lambda: any(b"TRADE_CLOSED" in n[2] for n in self.shop.of(self.number)), 20, "the refund's notification")
        notices = self.notices(2)
        self.assertEqual({n["trade_status"] for n in self.notices(len(self.shop.of(self.number)))}, {"TRADE_SUCCESS", "TRADE_CLOSED"})
        for fields in notices:
            self.assertNotIn("", fields.values())
            self.assertEqual((fields["subject"], fields["total_amount"], fields["app_id"], fields["seller_id"]),
                             (SUBJECT, "88.80", self.box.identity["app_id"], self.box.identity["seller_id"]))
            self.assertIs(self.program.call("notice", fields=fields), True)
            for spoilt in ({"total_amount": "0.01"}, {"sign": sdk.respelt(fields["sign"])}, {"extra": "x"}):
                self.assertIs(self.program.call("notice", fields={**fields, **spoilt}), False, spoilt)

    # Pages: addresses that the SDK makes, without the gateway

    def page(self, http, **more):
        return self.program.call("page", http=http, method="alipay.trade.wap.pay", notifyUrl=self.shop.url + "/notify", bizContent={
            "out_trade_no": self.number, "total_amount": "88.80", "subject": SUBJECT, "product_code": "QUICK_WAP_WAY", **more})

    def browse(self, url, fields=None):
        """The address as a phone inside Alipay opens it; the page's form."""
        target = urlsplit(url)
        path = target.path + (f"?{target.query}" if target.query else "")
        headers = {"User-Agent": "Mozilla/5.0 (Linux; Android 14) AlipayClient/10.5.0"}
        if fields is None:
            answer = self.box.call("GET", path, headers=headers)
        else:
            headers["Content-Type"] = "application/x-www-form-urlencoded;charset=utf-8"
            answer = self.box.call("POST", path, urlencode(fields), headers)
        self.assertEqual(answer.headers["Content-Type"], "text/html;charset=utf-8")
        self.assertNotIn(b"<script", answer.body)
        return answer.status, Form(answer.body.decode())

    def press(self, form, value):
        self.assertIn(("do", value), form.buttons)
        return self.browse(form.action, {**form.fields, "do": value})

    def test_a_page_is_no_trade_until_the_buyer_confirms(self):
        url = self.page("GET")
        self.assertLessEqual(len(url), 2048)
        status, cashier = self.browse(url)
        self.assertEqual(status, 200)
        for shown in (SUBJECT, "¥88.80", self.number):
            self.assertIn(shown, cashier.text)
        it = self.box.wallet("scan", code=url, wallet="alipay")
        self.assertEqual((it["channel"], it["out_trade_no"], it["subject"], it["amount"], it["state"]),
                         ("alipay", self.number, SUBJECT, 8880, "waiting"))
        self.refused(self.query(), "ACQ.TRADE_NOT_EXIST")
        status, cashier = self.press(cashier, "login")
        self.assertEqual((status, self.query()["tradeStatus"]), (200, "WAIT_BUYER_PAY"))
        status, done = self.press(cashier, "pay")
        self.assertEqual((status, done.buttons), (200, []))
        self.assertIn("Paid", done.text)
        self.assertEqual(self.query()["tradeStatus"], "TRADE_SUCCESS")
        self.assertEqual(self.press(cashier, "pay")[0], 409)
        fields = self.notices(1)[0]
        self.assertEqual((fields["trade_status"], fields["total_amount"]), ("TRADE_SUCCESS", "88.80"))
        self.assertIs(self.program.call("notice", fields=fields), True)

    def test_a_page_is_posted_as_a_form_too(self):
        form = Form(self.page("POST"))
        self.assertEqual(form.method, "post")
        self.assertIn("biz_content", form.fields)
        status, cashier = self.browse(form.action, form.fields)
        self.assertEqual(status, 200)
        self.assertEqual(self.press(cashier, "pay")[0], 200)
        self.assertEqual(self.query()["tradeStatus"], "TRADE_SUCCESS")

    def test_a_page_is_paid_by_its_address_like_a_code(self):
        url = self.page("GET")
        paid = self.box.wallet("pay", code=url)
        self.assertEqual((paid["state"], paid["out_trade_no"]), ("paid", self.number))
        self.assertEqual(self.query()["tradeNo"], paid["provider_trade_no"])
        self.assertEqual(self.box.call("POST", "/wallet/pay", {"code": url}).json["reason"], "already_paid")

    def test_an_altered_page_is_refused(self):
        url = self.page("GET")
        altered = url.replace("88.80", "00.01")
        self.assertNotEqual(url, altered)
        status, shown = self.browse(altered)
        self.assertEqual((status, shown.buttons), (400, []))
        self.assertIn("isv.invalid-signature", shown.text)
        answer = self.box.call("POST", "/wallet/scan", {"code": altered})
        self.assertEqual((answer.status, answer.json["code"]), (404, "unknown_code"))
        self.assertIn("isv.invalid-signature", answer.json["detail"])
        self.assertEqual(self.box.call("POST", "/wallet/pay", {"code": url, "wallet": "wechatpay"}).status, 409)
        status, shown = self.browse(self.page("GET", time_expire="2020-01-01 00:00:00"))
        self.assertEqual((status, shown.buttons), (409, []))
        self.assertIn("expired", shown.text)

    # What goes wrong

    def test_refusals_of_the_business(self):
        code = self.precreate()
        answer = self.run_method("alipay.trade.precreate", {"out_trade_no": self.number, "total_amount": "0", "subject": "x"})
        self.refused(answer, "ACQ.INVALID_PARAMETER")
        self.box.wallet("pay", code=code)
        answer = self.run_method("alipay.trade.precreate", {"out_trade_no": self.number, "total_amount": "1", "subject": "x"})
        self.refused(answer, "ACQ.TRADE_HAS_SUCCESS")
        answer = self.run_method("alipay.trade.refund", {"out_trade_no": self.number, "refund_amount": "88.81", "out_request_no": "r"})
        self.refused(answer, "ACQ.REASON_TRADE_REFUND_FEE_ERR")
        self.assertEqual(answer["refundFee"], "0.00")
        answer = self.run_method("alipay.trade.refund", {"out_trade_no": self.number + "x", "refund_amount": "1", "out_request_no": "r"})
        self.refused(answer, "ACQ.TRADE_NOT_EXIST")

    def test_faults_arrive_as_answers_or_as_errors_but_never_as_success(self):
        code = self.precreate()
        self.box.wallet("pay", code=code)
        self.box.faults(gateway={"error": 1})
        seen = set()
        for _ in range(8):
            answer = self.query()
            self.assertNotEqual(answer["code"], "10000", answer)
            seen.add(answer["code"])
        self.assertEqual(seen, {"20000", "40004"})
        self.box.faults(gateway={"unavailable": True})
        with self.assertRaises(sdk.SdkError):
            self.query()

    def test_another_key_is_refused_by_both_sides(self):
        self.addCleanup(self.program.call, "init", **self.options())
        self.program.call("init", **self.options(app=self.stranger))
        self.refused(self.query(), "isv.invalid-signature", "40002")
        self.program.call("init", **self.options(alipay=self.stranger))
        with self.assertRaises(sdk.SdkError) as e:
            self.query()
        self.assertRegex(str(e.exception), NOT_BELIEVED)

    def test_what_was_altered_on_the_way_is_refused(self):
        code = self.precreate()
        self.box.wallet("pay", code=code)
        way = sdk.Between(self.box.url)
        self.addCleanup(way.close)
        self.addCleanup(self.program.call, "init", **self.options())
        self.program.call("init", **{k: v.replace(self.box.url, way.url) for k, v in self.options().items()})
        self.assertEqual(self.query()["totalAmount"], "88.80", "passed on as it is, it is good")
        for what, spoil in (("the amount", lambda body: body.replace(b'"total_amount":"88.80"', b'"total_amount":"00.01"')),
                            ("a space", lambda body: body.replace(b'"code":', b'"code": ')),
                            ("the signature", lambda body: re.sub(rb'(?<="sign":")[^"]*', lambda m: sdk.respelt(m[0].decode()).encode(), body)),
                            ("no signature", lambda body: re.sub(rb',"sign":"[^"]*"', b"", body))):
            spoilt = []

            def tell(status, headers, body, spoil=spoil, spoilt=spoilt):
                spoilt.append(spoil(body) != body)
                return status, headers, spoil(body)

            way.tell = tell
            with self.subTest(what):
                with self.assertRaises(sdk.SdkError) as e:
                    self.query()
                self.assertRegex(str(e.exception), NOT_BELIEVED if what != "no signature" else f"{NOT_BELIEVED}|signature argument|undefined")
                self.assertEqual(spoilt, [True])
        way.tell = lambda *it: it
        way.ask = lambda path, headers, body: (path, headers, body.replace(b"88.80", b"00.01"))
        self.number += "x"
        answer = self.run_method("alipay.trade.precreate", {"out_trade_no": self.number, "total_amount": "88.80", "subject": SUBJECT})
        self.refused(answer, "isv.invalid-signature", "40002")


class NodeSdk(Gateway, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.program = cls.node
        super().setUpClass()

    @classmethod
    def options(cls, app=None, alipay=None):
        return {"gateway": cls.box.url + "/gateway.do", "endpoint": cls.box.url, "appId": cls.box.identity["app_id"],
                "privateKey": (app or cls.box).text("app_private_key.pem"), "keyType": "PKCS8",
                "alipayPublicKey": (alipay or cls.box).text("alipay_public_key.pem")}


class JavaSdk(Gateway, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.program = cls.java
        super().setUpClass()

    @classmethod
    def options(cls, app=None, alipay=None):
        return {"serverUrl": cls.box.url + "/gateway.do", "appId": cls.box.identity["app_id"],
                "privateKey": (app or cls.box).bare("app_private_key.pem"),
                "alipayPublicKey": (alipay or cls.box).bare("alipay_public_key.pem")}


class NodeSdkWithCertificates(NodeSdk):
    @classmethod
    def options(cls, app=None, alipay=None):
        return {"gateway": cls.box.url + "/gateway.do", "endpoint": cls.box.url, "appId": cls.box.identity["app_id"],
                "privateKey": (app or cls.box).text("app_private_key.pem"), "keyType": "PKCS8",
                "appCertPath": cls.box.path("app_cert.pem"), "alipayPublicCertPath": (alipay or cls.box).path("alipay_cert.pem"),
                "alipayRootCertPath": cls.box.path("alipay_root_cert.pem")}


class JavaSdkWithCertificates(JavaSdk):
    @classmethod
    def options(cls, app=None, alipay=None, alipay_cert="alipay_cert.pem"):
        return {"serverUrl": cls.box.url + "/gateway.do", "appId": cls.box.identity["app_id"],
                "privateKey": (app or cls.box).bare("app_private_key.pem"), "certPath": cls.box.path("app_cert.pem"),
                "alipayPublicCertPath": (alipay or cls.box).path(alipay_cert), "rootCertPath": (alipay or cls.box).path("alipay_root_cert.pem")}

    def test_a_certificate_it_does_not_have_is_downloaded_and_followed_to_the_root(self):
        self.addCleanup(self.program.call, "init", **self.options())
        self.program.call("init", **self.options(alipay_cert="app_cert.pem"))  # of the same root, as one of Alipay's before
        self.assertTrue(self.precreate().startswith("https://"))


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""Alipay's v3 paths: npm alipay-sdk's curl and com.alipay.sdk:alipay-sdk-java-v3, signatures verified both ways."""
import itertools
import json
import os
import unittest

import sdk
from harness import Recorder, wait_for

SUBJECT = "绿茶 100% + 1 \"é\" 🍵"
NOT_BELIEVED = "验签失败|验签|check fail|证书"
numbers = itertools.count(1)


def setUpModule():
    sdk.need(sdk.node_path, sdk.class_path)
    sdk.open_for_module(V3, box=sdk.Sandbox, stranger=sdk.Sandbox, node=lambda: sdk.Node("alipay.js"), java=lambda: sdk.Java("AlipayV3"))


class V3:
    """The cases; each SDK is a class below. ask() gives the answer's members, refused() what was thrown."""
    box = stranger = node = java = None  # one sandbox for all, one that has other keys, and the SDKs
    program = None  # one of those

    @classmethod
    def setUpClass(cls):
        cls.init()

    def setUp(self):
        self.number = f"V{os.getpid()}_{next(numbers)}"
        self.addCleanup(self.box.faults)

    def precreate(self, **more):
        return self.ask("precreate", {"out_trade_no": self.number, "total_amount": "88.80", "subject": SUBJECT, **more})["qr_code"]

    def query(self):
        return self.ask("query", {"out_trade_no": self.number})

    def refused(self, what, body, status, code):
        with self.assertRaises(sdk.SdkError) as e:
            self.ask(what, body)
        self.assert_failure(e.exception.fields, status, code)

    def test_a_trades_life(self):
        code = self.precreate()
        self.assertTrue(code.startswith("https://qr.alipay.com/"), code)
        self.refused("query", {"out_trade_no": self.number}, 400, "ACQ.TRADE_NOT_EXIST")
        self.refused("close", {"out_trade_no": self.number}, 400, "ACQ.TRADE_NOT_EXIST")
        self.box.wallet("scan", code=code)
        self.assertEqual(self.query()["trade_status"], "WAIT_BUYER_PAY")
        trade_no = self.box.wallet("pay", code=code)["provider_trade_no"]
        it = self.query()
        self.assertEqual((it["trade_status"], it["trade_no"], it["total_amount"]), ("TRADE_SUCCESS", trade_no, "88.80"))
        self.assertNotIn("msg", it)
        first = {"out_trade_no": self.number, "refund_amount": "8.80", "out_request_no": "r1"}
        it = self.ask("refund", first)
        self.assertEqual((it["fund_change"], it["refund_fee"]), ("Y", "8.80"))
        self.assertEqual(self.ask("refund", first)["fund_change"], "N")
        self.refused("refund", {**first, "refund_amount": "8.81"}, 400, "ACQ.DISCORDANT_REPEAT_REQUEST")
        self.assertEqual(self.ask("refund", {**first, "refund_amount": "80.00", "out_request_no": "r2"})["refund_fee"], "88.80")
        it = self.ask("fastpay/refund/query", {"out_trade_no": self.number, "out_request_no": "r2"})
        self.assertEqual((it["refund_status"], it["refund_amount"]), ("REFUND_SUCCESS", "80.00"))
        it = self.ask("fastpay/refund/query", {"out_trade_no": self.number, "out_request_no": "r3"})
        self.assertIsNone(it.get("refund_status"))
        self.assertEqual(self.query()["trade_status"], "TRADE_CLOSED")

    def test_close_and_cancel(self):
        self.box.wallet("scan", code=self.precreate())
        self.assertEqual(self.ask("close", {"out_trade_no": self.number})["out_trade_no"], self.number)
        self.refused("close", {"out_trade_no": self.number}, 400, "ACQ.REASON_TRADE_STATUS_INVALID")
        self.number += "b"
        self.box.wallet("pay", code=self.precreate())
        self.assertEqual(self.ask("cancel", {"out_trade_no": self.number})["action"], "refund")

    def test_a_notification_comes_where_the_order_says(self):
        shop = Recorder()
        self.addCleanup(shop.close)
        self.box.wallet("pay", code=self.precreate(notify_url=shop.url + "/notify"))
        wait_for(lambda: shop.of(self.number), 20, "the notification")

    def test_the_senders_faults(self):
        self.addCleanup(self.init)
        self.init(app=self.stranger)
        self.refused("query", {"out_trade_no": "x"}, 401, "invalid-signature")
        self.init(alipay=self.stranger)
        with self.assertRaises(sdk.SdkError) as e:
            self.precreate()
        self.assertRegex(str(e.exception), NOT_BELIEVED)

    def test_what_was_altered_on_the_way_is_refused(self):
        self.box.wallet("pay", code=self.precreate())
        way = sdk.Between(self.box.url)
        self.addCleanup(way.close)
        self.addCleanup(self.init)
        self.init(url=way.url)
        self.assertEqual(self.query()["total_amount"], "88.80", "passed on as it is, it is good")
        for what, spoil in (("body", lambda headers, body: (headers, body.replace(b'"88.80"', b'"00.01"'))),
                            ("nonce", lambda headers, body: ({**headers, "alipay-nonce": "x"}, body)),
                            ("timestamp", lambda headers, body: ({**headers, "alipay-timestamp": "1795398600000"}, body)),
                            ("signature", lambda headers, body: ({**headers, "alipay-signature": sdk.respelt(headers["alipay-signature"])}, body)),
                            ("none", lambda headers, body: ({k: v for k, v in headers.items() if k != "alipay-signature"}, body))):
            spoilt = []

            def tell(status, headers, body, spoil=spoil, spoilt=spoilt):
                spoilt.append(spoil(headers, body) != (headers, body))
                return status, *spoil(headers, body)

            way.tell = tell
            with self.subTest(what):
                with self.assertRaises(sdk.SdkError) as e:
                    self.query()
                self.assertRegex(str(e.exception), NOT_BELIEVED if what != "none" else f"{NOT_BELIEVED}|signature argument|undefined")
                self.assertEqual(spoilt, [True])
        way.tell = lambda *it: it
        for what, spoil in (("body", lambda path, headers, body: (path, headers, body.replace(b"88.80", b"00.01"))),
                            ("path", lambda path, headers, body: (path + "?x=1", headers, body)),
                            ("nonce", lambda path, headers, body: (path, {k: v.replace("nonce=", "nonce=0") for k, v in headers.items()}, body))):
            way.ask = spoil
            with self.subTest(what):
                self.refused("precreate", {"out_trade_no": self.number + "x", "total_amount": "88.80", "subject": "x"}, 401, "invalid-signature")

    def test_system_errors_are_a_500(self):
        self.box.wallet("pay", code=self.precreate())
        self.box.faults(gateway={"error": 1})
        for _ in range(4):
            with self.assertRaises(sdk.SdkError) as e:
                self.query()
            self.assertIn("500", str(e.exception))
        self.box.faults(gateway={"unavailable": True})
        with self.assertRaises(sdk.SdkError) as e:
            self.query()
        self.assertIn("503", str(e.exception))


class NodeV3(V3, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.program = cls.node
        super().setUpClass()

    @classmethod
    def keys(cls, alipay):
        return {"alipayPublicKey": (alipay or cls.box).text("alipay_public_key.pem")}

    @classmethod
    def init(cls, app=None, alipay=None, url=None):
        cls.program.call("init", endpoint=url or cls.box.url, appId=cls.box.identity["app_id"], keyType="PKCS8",
                         privateKey=(app or cls.box).text("app_private_key.pem"), **cls.keys(alipay))

    def ask(self, what, body):
        answer = self.program.call("curl", http="POST", path="/v3/alipay/trade/" + what, body=body)
        self.assertEqual(answer["responseHttpStatus"], 200)
        self.assertTrue(answer["traceId"])
        return answer["data"]

    def assert_failure(self, fields, status, code):
        self.assertEqual((fields["responseHttpStatus"], fields["code"]), (status, code), fields)
        self.assertIsInstance(fields["links"], str)

    def test_a_query_by_get_is_signed_as_it_is_sent(self):
        self.box.wallet("pay", code=self.precreate())
        answer = self.program.call("curl", http="GET", path="/v3/alipay/trade/query", query={"out_trade_no": self.number, "x": "a b+c/é"})
        self.assertEqual(answer["data"]["trade_status"], "TRADE_SUCCESS")

    def test_an_authorised_merchants_token_is_signed_along(self):
        self.precreate()
        answer = self.program.call("curl", http="POST", path="/v3/alipay/trade/cancel", body={"out_trade_no": self.number},
                                   appAuthToken="202611BBtoken")
        self.assertEqual(answer["data"]["retry_flag"], "N")

    def test_a_method_nobody_knows(self):
        with self.assertRaises(sdk.SdkError) as e:
            self.program.call("curl", http="POST", path="/v3/alipay/trade/nothing", body={})
        self.assert_failure(e.exception.fields, 404, "invalid-method")


class NodeV3WithCertificates(NodeV3):
    @classmethod
    def keys(cls, alipay):
        return {"appCertPath": cls.box.path("app_cert.pem"), "alipayPublicCertPath": (alipay or cls.box).path("alipay_cert.pem"),
                "alipayRootCertPath": cls.box.path("alipay_root_cert.pem")}


class JavaV3(V3, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.program = cls.java
        super().setUpClass()

    @classmethod
    def keys(cls, alipay):
        return {"alipayPublicKey": (alipay or cls.box).bare("alipay_public_key.pem")}

    @classmethod
    def init(cls, app=None, alipay=None, url=None):
        cls.program.call("init", serverUrl=url or cls.box.url, appId=cls.box.identity["app_id"],
                         privateKey=(app or cls.box).bare("app_private_key.pem"), **cls.keys(alipay))

    def ask(self, what, body):
        return self.program.call(what, body=body)

    def assert_failure(self, fields, status, code):
        self.assertEqual((fields["status"], json.loads(fields["body"])["code"]), (status, code), fields)
        self.assertTrue(fields["typed"], "the SDK's own error model knows the code")


class JavaV3WithCertificates(JavaV3):
    @classmethod
    def keys(cls, alipay):
        box = alipay or cls.box
        return {"appCertPath": cls.box.path("app_cert.pem"), "alipayPublicCertPath": box.path("alipay_cert.pem"),
                "rootCertPath": cls.box.path("alipay_root_cert.pem")}


if __name__ == "__main__":
    unittest.main()

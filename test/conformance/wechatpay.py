# SPDX-License-Identifier: Apache-2.0
"""The cases that WeChat Pay's own SDKs go through at the sandbox's API v3; test_wechatpay_*.py derive."""
import itertools
import json
import os

import sdk
from harness import wait_for
from wechat import Shop

numbers = itertools.count(1)


class Gateway:
    """Derive: box and program, init() of it, and the steps, each with answers under the names of the wire. `by`: with which of
    the platform's two names the SDK verifies, "certificate" or "key"."""
    by = box = program = None

    @classmethod
    def setUpClass(cls):
        cls.shop = Shop()
        cls.addClassCleanup(cls.shop.close)
        cls.init(cls.box.path("platform_public_key.pem"))

    def setUp(self):
        self.number = f"C{os.getpid()}_{next(numbers)}"
        self.addCleanup(self.box.faults)

    def order(self, **more):
        it = self.box.identity
        return {"appid": it["appid"], "mchid": it["mchid"], "description": "绿茶 100% + 1 \"é\"", "out_trade_no": self.number,
                "notify_url": self.notify_url(), "attach": "a=b&c", "amount": {"total": 8880, "currency": "CNY"}, **more}

    def refund_order(self, out_refund_no, amount):
        return {"out_trade_no": self.number, "out_refund_no": out_refund_no, "reason": "退货", "notify_url": self.notify_url(),
                "amount": {"refund": amount, "total": 8880, "currency": "CNY"}}

    def notify_url(self):
        """Of this order alone: a notice about another one may come at any time."""
        return f"{self.shop.url}/notify/{self.number}"

    def notices(self, n):
        """The first n, as they came."""
        path = "/notify/" + self.number
        wait_for(lambda: len(self.shop.notices_at[path]) >= n, 20, f"{n} notices of {self.number}")
        return self.shop.notices_at[path][:n]

    def paid(self):
        return self.box.wallet("pay", code=self.native(self.order()))["provider_trade_no"]

    def fails(self, status, code, step, *arguments):
        with self.assertRaises(sdk.SdkError) as caught:
            step(*arguments)
        self.assertEqual((caught.exception.fields.get("status"), caught.exception.fields.get("code")), (status, code), caught.exception)

    def advance(self, how_far):
        self.assertEqual(self.box.call("POST", "/dev/clock", {"advance": how_far}).json["settled"], True)

    def told(self, n):
        """The first n notices, as the SDK reads them."""
        return [self.notice(headers, body.decode()) for headers, body in self.notices(n)]

    # The life of an order

    def test_native_from_code_to_payment(self):
        code = self.native(self.order())
        self.assertTrue(code.startswith("weixin://wxpay/bizpayurl?pr="), code)
        it = self.query()
        self.assertEqual((it["trade_state"], it["amount"]["total"], it["out_trade_no"]), ("NOTPAY", 8880, self.number))
        self.assertEqual(self.box.wallet("scan", code=code)["subject"], self.order()["description"])
        transaction_id = self.box.wallet("pay", code=code)["provider_trade_no"]
        it = self.query()
        self.assertEqual((it["trade_state"], it["transaction_id"], it["trade_type"], it["amount"]["payer_total"], it["attach"]),
                         ("SUCCESS", transaction_id, "NATIVE", 8880, "a=b&c"))
        self.assertEqual(self.query_by_id(transaction_id), it)

    def test_jsapi_and_the_page_it_is_for(self):
        openid = self.sign_in()
        page = json.dumps(self.jsapi(self.order(payer={"openid": openid})))
        html = f'<script type="application/json" id="jsapi">{page}</script>'.encode()
        self.shop.pages["/pay"] = lambda _: (200, {"Content-Type": "text/html"}, html)
        self.assertEqual(self.box.wallet("pay", code=self.shop.url + "/pay", wallet="wechatpay")["state"], "paid")
        it = self.query()
        self.assertEqual((it["trade_state"], it["trade_type"], it["payer"]["openid"]), ("SUCCESS", "JSAPI", openid))

    def sign_in(self):
        it, back = self.box.identity, self.shop.url + "/back"
        answer = self.box.call("GET", f"/connect/oauth2/authorize?appid={it['appid']}&redirect_uri={back}&response_type=code&scope=snsapi_base")
        code = answer.headers["Location"].partition("code=")[2].partition("&")[0]
        return self.box.call("GET", f"/sns/oauth2/access_token?appid={it['appid']}&secret={self.box.text('app_secret')}&code={code}"
                                    "&grant_type=authorization_code").json["openid"]

    def test_h5(self):
        url = self.h5(self.order(scene_info={"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}))
        self.box.wallet("pay", code=url)
        self.assertEqual(self.query()["trade_type"], "MWEB")

    def test_close_and_what_is_refused(self):
        self.native(self.order())
        self.close()
        self.assertEqual(self.query()["trade_state"], "CLOSED")
        self.fails(400, "ORDER_CLOSED", self.close)
        self.fails(400, "ORDER_CLOSED", self.native, self.order())
        self.number += "x"
        self.fails(404, "ORDER_NOT_EXIST", self.query)
        self.fails(404, "ORDER_NOT_EXIST", self.close)
        self.fails(400, "PARAM_ERROR", self.native, self.order(amount={"total": 0}))
        self.native(self.order())
        self.fails(400, "INVALID_REQUEST", self.native, self.order(description="other"))

    def test_refunds_are_accepted_and_then_made(self):
        self.paid()
        it = self.refund(self.refund_order(self.number + "r", 80))
        self.assertEqual((it["status"], it["amount"]["refund"], it["channel"]), ("PROCESSING", 80, "ORIGINAL"))
        self.assertEqual(self.refund(self.refund_order(self.number + "r", 80))["refund_id"], it["refund_id"])
        self.fails(400, "INVALID_REQUEST", self.refund, self.refund_order(self.number + "r", 81))
        self.advance("4s")
        done = self.refund_query(self.number + "r")
        self.assertEqual((done["status"], done["refund_id"]), ("SUCCESS", it["refund_id"]))
        self.assertEqual(self.query()["trade_state"], "REFUND")
        self.fails(404, "RESOURCE_NOT_EXISTS", self.refund_query, "nobody_asked")

    # Notices

    def test_notices_pass_the_sdks_own_check(self):
        transaction_id = self.paid()
        self.refund(self.refund_order(self.number + "r", 80))
        self.advance("4s")
        payment, refund = self.told(2)
        self.assertEqual((payment["event"], payment["resource"]["transaction_id"], payment["resource"]["amount"]["total"]),
                         ("TRANSACTION.SUCCESS", transaction_id, 8880))
        self.assertEqual((refund["event"], refund["resource"]["refund_status"], refund["resource"]["out_refund_no"]),
                         ("REFUND.SUCCESS", "SUCCESS", self.number + "r"))

    def test_altered_and_forged_notices_do_not_pass(self):
        self.paid()
        self.told(1)
        ((headers, body),) = self.notices(1)
        for what, changed in (("body", (headers, body.decode() + " ")), ("nonce", (headers | {"Wechatpay-Nonce": "x"}, body.decode())),
                              ("time", (headers | {"Wechatpay-Timestamp": "1"}, body.decode()))):
            with self.subTest(what), self.assertRaises(sdk.SdkError):
                self.notice(*changed)
        self.box.faults(notify={"forge": True})
        for kind in range(3):  # another key, a probe, a serial nobody knows
            self.number += "x"
            self.paid()
            good = 0
            for headers, body in self.notices(2):
                try:
                    self.notice(headers, body.decode())
                    good += 1
                except sdk.SdkError:
                    pass
            self.assertEqual(good, 1, kind)

    # Faults

    def test_faults_are_what_the_sdk_takes_for_errors(self):
        self.native(self.order())
        for faults, status, code in (({"gateway": {"error": 1}}, 500, "SYSTEM_ERROR"), ({"gateway": {"unavailable": True}}, 503, "SERVICE_UNAVAILABLE"),
                                     ({"gateway": {"rate_limit": 1}}, 429, "RATELIMIT_EXCEEDED")):
            with self.subTest(code):
                self.box.faults(**faults)
                self.fails(status, code, self.query)

    def test_an_answer_under_another_key_is_not_believed(self):
        """So that all the others prove something."""
        self.native(self.order())
        self.addCleanup(self.init, self.box.path("platform_public_key.pem"))
        self.init(self.box.path("app_public_key.pem"))
        with self.assertRaises(sdk.SdkError):
            self.query()

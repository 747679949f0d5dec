# SPDX-License-Identifier: Apache-2.0
"""npm wechatpay-axios-plugin, unmodified, at the sandbox's WeChat Pay: every answer verified, with either name of the platform's
key."""
import unittest

import sdk
import wechatpay


def setUpModule():
    sdk.need(sdk.node_path)
    sdk.open_for_module(Axios, box=sdk.Sandbox, program=lambda: sdk.Node("wechatpay.js"))


class Axios(wechatpay.Gateway):
    @classmethod
    def init(cls, public_key):
        it = cls.box.identity
        serial = it["platform_key_id"] if cls.by == "key" else it["platform_serial"]
        with open(public_key, encoding="ascii") as f:
            key = f.read()
        cls.program.call("init", wanted=serial if cls.by == "key" else None, apiv3=cls.box.text("apiv3_key"), options={
            "mchid": it["mchid"], "serial": it["merchant_serial"], "privateKey": cls.box.text("merchant_private_key.pem"),
            "certs": {serial: key}, "baseURL": cls.box.url + "/"})

    def ask(self, http, path, **more):
        return self.program.call("call", http=http, path=path, **more)

    def native(self, order):
        return self.ask("post", "v3/pay/transactions/native", body=order)["data"]["code_url"]

    def jsapi(self, order):
        it = self.ask("post", "v3/pay/transactions/jsapi", body=order)["data"]
        return self.program.call("page", appid=order["appid"], prepay_id=it["prepay_id"])

    def h5(self, order):
        return self.ask("post", "v3/pay/transactions/h5", body=order)["data"]["h5_url"]

    def query(self):
        return self.ask("get", "v3/pay/transactions/out-trade-no/{number}", fill={"number": self.number},
                        params={"mchid": self.box.identity["mchid"]})["data"]

    def query_by_id(self, transaction_id):
        return self.ask("get", "v3/pay/transactions/id/{id}", fill={"id": transaction_id}, params={"mchid": self.box.identity["mchid"]})["data"]

    def close(self):
        answer = self.ask("post", "v3/pay/transactions/out-trade-no/{number}/close", fill={"number": self.number},
                          body={"mchid": self.box.identity["mchid"]})
        self.assertEqual((answer["status"], answer["data"]), (204, ""))

    def refund(self, order):
        return self.ask("post", "v3/refund/domestic/refunds", body=order)["data"]

    def refund_query(self, number):
        return self.ask("get", "v3/refund/domestic/refunds/{number}", fill={"number": number})["data"]

    def notice(self, headers, body):
        return self.program.call("notice", headers=headers, body=body)

    def test_the_answer_is_signed_under_the_name_that_was_asked_for(self):
        it = self.box.identity
        self.assertEqual(self.ask("get", "v3/certificates")["serial"], it["platform_key_id"] if self.by == "key" else it["platform_serial"])

    def test_certificates_are_opened_and_are_the_platforms(self):
        (it,) = self.ask("get", "v3/certificates")["data"]["data"]
        self.assertEqual(it["serial_no"], self.box.identity["platform_serial"])
        self.assertEqual(self.program.call("open", resource=it["encrypt_certificate"]), self.box.text("platform_cert.pem"))


class ByCertificate(Axios, unittest.TestCase):
    by = "certificate"


class ByPublicKey(Axios, unittest.TestCase):
    by = "key"


if __name__ == "__main__":
    unittest.main()

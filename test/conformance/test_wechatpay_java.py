# SPDX-License-Identifier: Apache-2.0
"""com.github.wechatpay-apiv3:wechatpay-java, unmodified, at the sandbox's WeChat Pay: with the platform certificates it downloads
itself, and with the platform's public key."""
import unittest

import sdk
import wechatpay


def setUpModule():
    sdk.need(sdk.class_path)
    sdk.open_for_module(Java, box=sdk.Sandbox, program=lambda: sdk.Java("Wechatpay"))


class Java(wechatpay.Gateway):
    @classmethod
    def init(cls, public_key):
        it = cls.box.identity
        cls.program.call("init", by=cls.by, url=cls.box.url, mchid=it["mchid"], serial=it["merchant_serial"],
                         privateKey=cls.box.path("merchant_private_key.pem"), publicKey=public_key, publicKeyId=it["platform_key_id"],
                         apiV3Key=cls.box.text("apiv3_key"))

    def native(self, order):
        return self.program.call("native", body=order)["code_url"]

    def jsapi(self, order):
        it = self.program.call("jsapi", body=order)
        return {"package": it.pop("packageVal", None) or it.get("package"), **it}

    def h5(self, order):
        return self.program.call("h5", body=order)["h5_url"]

    def query(self):
        return self.program.call("query", mchid=self.box.identity["mchid"], number=self.number)

    def query_by_id(self, transaction_id):
        return self.program.call("queryById", mchid=self.box.identity["mchid"], id=transaction_id)

    def close(self):
        self.program.call("close", mchid=self.box.identity["mchid"], number=self.number)

    def refund(self, order):
        return self.program.call("refund", body=order)

    def refund_query(self, number):
        return self.program.call("refundQuery", number=number)

    def notice(self, headers, body):
        return self.program.call("notice", headers=headers, body=body)


class ByCertificate(Java, unittest.TestCase):
    """RSAAutoCertificateConfig"""
    by = "certificate"
    test_an_answer_under_another_key_is_not_believed = None  # its keys are those it downloads


class ByPublicKey(Java, unittest.TestCase):
    """RSAPublicKeyConfig"""
    by = "key"


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""What only a provider could say, and what a merchant could ask behind Till's back: signed with the keys of a sandbox's key
directory. So a test can ask what happens when the word is genuine and its content is not what was expected."""
import json
import os
import secrets
import time
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qsl, urlencode, urlsplit

from harness import call
from wechat import Merchant, seal, sign

BEIJING = timezone(timedelta(hours=8))


def yuan(amount):
    return f"{amount // 100}.{amount % 100:02d}"


class Alipay:
    channel = "alipay"

    def __init__(self, sandbox, keys):
        self.sandbox, self.keys = sandbox, keys
        with open(os.path.join(keys, "sandbox.json"), encoding="utf-8") as f:
            self.identity = json.load(f)

    def signed(self, fields, key):
        text = "&".join(f"{k}={v}" for k, v in sorted(fields.items()) if v != "" and k != "sign")
        return sign(os.path.join(self.keys, key), text.encode())

    def form(self, fields):
        """A merchant's request."""
        return urlencode(dict(fields, sign=self.signed(fields, "app_private_key.pem"))).encode()

    def ask(self, method, biz, **more):
        fields = {"app_id": self.identity["app_id"], "method": method, "charset": "utf-8", "sign_type": "RSA2", "version": "1.0",
                  "timestamp": datetime.now(BEIJING).strftime("%Y-%m-%d %H:%M:%S"), "biz_content": json.dumps(biz), **more}
        answer = call(self.sandbox, "POST", "/gateway.do", self.form(fields), {"Content-Type": "application/x-www-form-urlencoded"})
        said = answer.json[method.replace(".", "_") + "_response"]
        assert said["code"] == "10000", said
        return said

    def code(self, number, amount, notify_url):
        """A stranger's trade under our name; what a wallet scans."""
        return self.ask("alipay.trade.precreate", {"out_trade_no": number, "total_amount": yuan(amount), "subject": "tea"},
                        notify_url=notify_url)["qr_code"]

    def refund(self, number, refund_number, amount):
        """By hand, at the provider's console."""
        self.ask("alipay.trade.refund", {"out_trade_no": number, "out_request_no": refund_number, "refund_amount": yuan(amount)})

    def rewrite(self, request, amount):
        """Another amount in a request for a code, as if it had been asked for so."""
        fields = dict(parse_qsl(urlsplit(request.path).query) + parse_qsl(request.body.decode()))
        fields["biz_content"] = json.dumps(dict(json.loads(fields["biz_content"]), total_amount=yuan(amount)))
        request.path, request.body = "/gateway.do", self.form(fields)

    def notice(self, number, total, **more):
        """Headers and body of a genuine notice that it was paid, or of what `more` makes of it; None leaves a field out."""
        now = datetime.now(BEIJING).strftime("%Y-%m-%d %H:%M:%S")
        fields = {"notify_time": now, "notify_type": "trade_status_sync", "notify_id": secrets.token_hex(16), "charset": "utf-8", "version": "1.0",
                  "app_id": self.identity["app_id"], "seller_id": self.identity["seller_id"], "trade_no": "2026112322001" + "7" * 15,
                  "out_trade_no": number, "trade_status": "TRADE_SUCCESS", "total_amount": yuan(total), "receipt_amount": yuan(total),
                  "gmt_payment": now, **more}
        fields = {k: v for k, v in fields.items() if v is not None}
        body = urlencode(dict(fields, sign_type="RSA2", sign=self.signed(fields, "sandbox_alipay_private_key.pem")))
        return {"Content-Type": "application/x-www-form-urlencoded"}, body.encode()


class WechatPay:
    channel = "wechatpay"

    def __init__(self, sandbox, keys):
        self.keys, self.merchant = keys, Merchant(sandbox, keys)
        self.identity = self.merchant.identity

    def code(self, number, amount, notify_url):
        return self.merchant.native(number, amount, notify_url=notify_url)

    def refund(self, number, refund_number, amount, **more):
        answer = self.merchant.refund(number, refund_number, amount, **more)
        assert answer.status == 200, repr(answer)

    def rewrite(self, request, amount):
        body = json.loads(request.body)
        body["amount"]["total"] = amount
        request.body = json.dumps(body).encode()
        request.headers["Authorization"] = self.merchant.authorization("POST", request.path, request.body)

    def notice(self, number, total, **more):
        now = datetime.now(BEIJING).strftime("%Y-%m-%dT%H:%M:%S+08:00")
        plain = {"appid": self.identity["appid"], "mchid": self.identity["mchid"], "out_trade_no": number, "trade_state": "SUCCESS",
                 "transaction_id": "4200" + "7" * 24, "trade_type": "NATIVE", "success_time": now,
                 "amount": {"total": total, "payer_total": total, "currency": "CNY"}, **more}
        nonce, associated, nonce_str = secrets.token_hex(6), "transaction", secrets.token_hex(16)
        body = json.dumps({"id": secrets.token_hex(16), "create_time": now, "event_type": "TRANSACTION.SUCCESS",
                           "resource_type": "encrypt-resource",
                           "resource": {"original_type": associated, "algorithm": "AEAD_AES_256_GCM", "nonce": nonce,
                                        "associated_data": associated,
                                        "ciphertext": seal(self.merchant.apiv3_key, json.dumps(plain).encode(), nonce, associated)}}).encode()
        at = str(int(time.time()))
        signature = sign(os.path.join(self.keys, "sandbox_platform_private_key.pem"), f"{at}\n{nonce_str}\n".encode() + body + b"\n")
        return {"Content-Type": "application/json", "Wechatpay-Timestamp": at, "Wechatpay-Nonce": nonce_str,
                "Wechatpay-Serial": self.identity["platform_serial"], "Wechatpay-Signature": signature}, body


def providers(till):
    return {p.channel: p for p in (kind(till.sandbox, os.path.join(till.data, "keys")) for kind in (Alipay, WechatPay))}

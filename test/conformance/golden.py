#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes test/channel/sdk_golden.h: what the providers' SDKs signed with the keys of test/channel/keys.h, as bytes for unit tests.

    test/conformance/golden.py >test/channel/sdk_golden.h

Requests are caught as they leave an SDK. Answers and notifications are put together here and signed by an SDK's own signer; the
v3 answer by the openssl command line, since no SDK signs those. Nonces and times are the SDKs' own, so each run gives other bytes,
as good as these.
"""
import contextlib
import http.server
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from urllib.parse import urlencode, urlsplit

import sdk

APP_ID, SELLER_ID = "2021000000000001", "2088000000000007"
MCHID, APPID = "1900000001", "wx0123456789abcdef"
SERIAL, KEY_ID = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1", "PUB_KEY_ID_0119000000012026112300001234567890"
APIV3_KEY = "0123456789abcdef0123456789ABCDEF"
NUMBER = "0rpgv5gymwqv0kj329159139epk9c"  # the fixtures' PAYMENT_NO
SUBJECT = "绿茶 100% + 1 \"é\" \\ 🍵"


def keys():
    """Of keys.h: name to PEM."""
    with open(os.path.join(sdk.ROOT, "test", "channel", "keys.h"), encoding="ascii") as f:
        return {name: "".join(line.replace("\\n", "\n") for line in re.findall(r'"(.*)"', lines))
                for name, lines in re.findall(r"(\w+)_PEM\[\] =\n((?: +\".*\"[\n;]+)+)", f.read())}


def bare(pem):
    return "".join(line for line in pem.splitlines() if not line.startswith("-"))


class Ear:
    """Hears requests, (method, target, headers, body), and answers none of them well."""

    def __init__(self):
        heard = self.heard = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                heard.append((self.command, self.path, self.headers, body.decode()))
                self.send_response(500)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_GET = do_POST = serve

            def log_message(self, *_):
                pass

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}"
        threading.Thread(target=self.httpd.serve_forever, args=(0.05,), daemon=True).start()

    def of(self, program, op, **arguments):
        """The one request that the call makes."""
        self.heard.clear()
        with contextlib.suppress(sdk.SdkError):
            program.call(op, **arguments)
        (it,) = self.heard
        return it


# --- Alipay's gateway


def gateway_requests(ear, node, java, key):
    """{query, body}"""
    options = {"appId": APP_ID, "alipayPublicKey": key["ALIPAY_PUBLIC"]}
    node.call("init", gateway=ear.url + "/gateway.do", endpoint=ear.url, keyType="PKCS8", privateKey=key["APP_PRIVATE"], **options)
    java.call("init", serverUrl=ear.url + "/gateway.do", **{**options, "privateKey": bare(key["APP_PRIVATE"]), "alipayPublicKey": bare(key["ALIPAY_PUBLIC"])})
    biz = {"out_trade_no": NUMBER, "total_amount": "12.34", "subject": SUBJECT}
    for program in (node, java):
        for more in ({"notifyUrl": "https://shop.example/notify?a=b&c=d"}, {}):
            _, target, _, body = ear.of(program, "exec", method="alipay.trade.precreate", bizContent=biz, **more)
            yield urlsplit(target).query, body


def gateway_answers(java, key):
    """A paid trade in several spellings; of the last, the slashes were escaped after it had been signed."""
    node = {"code": "10000", "msg": "Success", "out_trade_no": NUMBER, "trade_no": "2026112322001400123456789012", "trade_status": "TRADE_SUCCESS",
            "total_amount": "12.34", "subject": SUBJECT + " }],{\"sign\":\"", "store": "a/b"}
    tight, wide = json.dumps(node, ensure_ascii=False, separators=(",", ":")), json.dumps(node, indent=2)
    for signed, sent in ((tight, tight), (wide, wide), (tight, tight.replace("/", "\\/"))):
        sign = java.call("sign", content=signed, privateKey=bare(key["ALIPAY_PRIVATE"]))
        yield ('{"alipay_trade_query_response":%s,"sign":"%s"}' % (sent, sign),)


def notices(java, key):
    fields = {"notify_time": "2026-11-23 10:04:05", "notify_type": "trade_status_sync", "notify_id": "2026112300222100405", "charset": "utf-8",
              "version": "1.0", "sign_type": "RSA2", "app_id": APP_ID, "auth_app_id": APP_ID, "seller_id": SELLER_ID, "out_trade_no": NUMBER,
              "trade_no": "2026112322001400123456789012", "trade_status": "TRADE_SUCCESS", "total_amount": "12.34", "buyer_pay_amount": "2.34",
              "gmt_payment": "2026-11-23 10:04:04", "subject": SUBJECT, "fund_bill_list": '[{"amount":"12.34","fundChannel":"ALIPAYACCOUNT"}]'}
    for op in ("signNotice", "signNoticeV2"):
        yield (urlencode({**fields, "sign": java.call(op, fields=fields, privateKey=bare(key["ALIPAY_PRIVATE"]))}),)


def precreate_sign(java, key):
    """Over the parameters of golden.h's request."""
    biz = ('{"out_trade_no":"%s","total_amount":"12.34","subject":"两杯 coffee","time_expire":"2026-11-23 10:05:00",'
           '"qr_code_timeout_express":"15m"}' % NUMBER)
    fields = {"version": "1.0", "timestamp": "2026-11-23 09:50:00", "sign_type": "RSA2", "notify_url": "https://shop.example/notify/alipay",
              "method": "alipay.trade.precreate", "format": "JSON", "charset": "utf-8", "biz_content": biz, "app_id": APP_ID}
    return java.call("signNoticeV2", fields=fields, privateKey=bare(key["APP_PRIVATE"]))


# --- Alipay's v3


def v3_requests(ear, node, java, key):
    """{method, target, authorization, app_auth_token, body}; `node` is gateway_requests()'s."""
    java.call("init", serverUrl=ear.url, appId=APP_ID, privateKey=bare(key["APP_PRIVATE"]), alipayPublicKey=bare(key["ALIPAY_PUBLIC"]))
    biz = {"out_trade_no": NUMBER, "total_amount": "12.34", "subject": SUBJECT}
    for it in (ear.of(node, "curl", http="POST", path="/v3/alipay/trade/precreate", body=biz),
               ear.of(node, "curl", http="POST", path="/v3/alipay/trade/query", body={"out_trade_no": NUMBER}, appAuthToken="202611BBtoken"),
               ear.of(node, "curl", http="GET", path="/v3/alipay/trade/query", query={"out_trade_no": NUMBER, "x": "a b+c/é"}),
               ear.of(java, "precreate", body=biz)):
        method, target, headers, body = it
        yield method, target, headers["Authorization"], headers.get("alipay-app-auth-token", ""), body


def v3_answer(key):
    """{timestamp, nonce, body, signature}"""
    at, nonce, body = "1795398600123", "8ca2b1b3d0f14ee8b1d0a96c4f6bf3a7", "{\n \"qr_code\": \"https://qr.alipay.com/bax1\", \"x\": \"茶\"}"
    with tempfile.NamedTemporaryFile("w", encoding="ascii") as f:
        f.write(key["ALIPAY_PRIVATE"])
        f.flush()
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", f.name], input=f"{at}\n{nonce}\n{body}\n".encode(), capture_output=True,
                                   check=True, timeout=20).stdout
    return at, nonce, body, subprocess.run(["openssl", "base64", "-A"], input=signature, capture_output=True, check=True, timeout=20).stdout.decode()


# --- WeChat Pay


def wechat_requests(ear, wechat, key):
    """{method, target, timestamp, nonce, signature, authorization, body}"""
    wechat.call("init", options={"mchid": MCHID, "serial": SERIAL, "privateKey": key["APP_PRIVATE"], "certs": {KEY_ID: key["ALIPAY_PUBLIC"]},
                                 "baseURL": ear.url + "/"})
    order = {"appid": APPID, "mchid": MCHID, "description": SUBJECT, "out_trade_no": NUMBER, "amount": {"total": 1234, "currency": "CNY"}}
    for it in (ear.of(wechat, "call", http="post", path="v3/pay/transactions/native", body=order),
               ear.of(wechat, "call", http="get", path="v3/pay/transactions/out-trade-no/{n}", fill={"n": NUMBER}, params={"mchid": MCHID})):
        method, target, headers, body = it
        said = dict(re.findall(r'(\w+)="([^"]*)"', headers["Authorization"]))
        yield method, target, said["timestamp"], said["nonce_str"], said["signature"], headers["Authorization"], body


def wechat_messages(wechat, key):
    """{timestamp, nonce, signature, body}: an answer, an empty one, a notification."""
    paid = {"appid": APPID, "mchid": MCHID, "out_trade_no": NUMBER, "transaction_id": "4200000000202611230000000001", "trade_state": "SUCCESS",
            "trade_state_desc": "支付成功 </>", "success_time": "2026-11-23T09:49:58+08:00",
            "amount": {"total": 1234, "payer_total": 1000, "currency": "CNY"}}
    nonce, associated = "fdasflkja484", "transaction"
    resource = {"original_type": "transaction", "algorithm": "AEAD_AES_256_GCM", "nonce": nonce, "associated_data": associated,
                "ciphertext": wechat.call("seal", text=json.dumps(paid), apiv3=APIV3_KEY, nonce=nonce, associated=associated)}
    notice = {"id": "EV-1", "create_time": "2026-11-23T09:49:59+08:00", "event_type": "TRANSACTION.SUCCESS", "resource_type": "encrypt-resource",
              "summary": "支付成功", "resource": resource}
    for body in (json.dumps(paid, ensure_ascii=False, indent=1), "", json.dumps(notice, ensure_ascii=False)):
        it = wechat.call("sign", body=body, serial=KEY_ID, privateKey=key["ALIPAY_PRIVATE"])
        yield it["Wechatpay-Timestamp"], it["Wechatpay-Nonce"], it["Wechatpay-Signature"], body


# --- The header


def literal(text):
    """As C has it, in lines of some 100 characters."""
    escaped = [{"\\": "\\\\", '"': '\\"', "\n": "\\n"}.get(c, c) for c in text]
    lines = ["".join(escaped[i:i + 100]) for i in range(0, len(escaped), 100)] or [""]
    return "\n     ".join(f'"{line}"' for line in lines)


def table(name, members, rows):
    print(f"static const struct {{\n    const char *{', *'.join(members)};\n}} {name}[] = {{")
    for row in rows:
        print("    {" + ",\n     ".join(literal(text) for text in row) + "},")
    print("};\n")


def main():
    key, ear = keys(), Ear()
    with sdk.Node("alipay.js") as node, sdk.Java("Alipay") as java, sdk.Java("AlipayV3") as java_v3, sdk.Node("wechatpay.js") as wechat:
        print("// SPDX-License-Identifier: Apache-2.0\n"
              "// Signed by the providers' SDKs, and by the openssl command line, with the keys of keys.h; written by\n"
              "// test/conformance/golden.py. Alipay's side has ALIPAY_PRIVATE_PEM, and so has WeChat Pay's.\n"
              "#ifndef TILL_TEST_CHANNEL_SDK_GOLDEN_H\n#define TILL_TEST_CHANNEL_SDK_GOLDEN_H\n\n// clang-format off")
        print("// alipay-sdk-java, over the parameters of golden.h")
        print(f"static const char SDK_PRECREATE_SIGN[] =\n     {literal(precreate_sign(java, key))};\n")
        print("// As they left npm alipay-sdk and alipay-sdk-java: with and without notify_url.")
        table("SDK_ALIPAY_REQUESTS", ("query", "body"), gateway_requests(ear, node, java, key))
        print("// alipay-sdk-java: one answer, tight, wide, and with its slashes escaped after it was signed.")
        table("SDK_ALIPAY_ANSWERS", ("body",), gateway_answers(java, key))
        print("// alipay-sdk-java: signed without sign_type (V1), and with it (V2).")
        table("SDK_ALIPAY_NOTICES", ("body",), notices(java, key))
        print("// As they left npm alipay-sdk's curl(), and at last alipay-sdk-java-v3.")
        table("SDK_V3_REQUESTS", ("method", "target", "authorization", "app_auth_token", "body"), v3_requests(ear, node, java_v3, key))
        print("// openssl")
        table("SDK_V3_ANSWERS", ("timestamp", "nonce", "body", "signature"), [v3_answer(key)])
        print("// As they left wechatpay-axios-plugin.")
        table("SDK_WECHAT_REQUESTS", ("method", "target", "timestamp", "nonce", "signature", "authorization", "body"),
              wechat_requests(ear, wechat, key))
        print("// wechatpay-axios-plugin: an answer, an empty one, a notification.")
        table("SDK_WECHAT_MESSAGES", ("timestamp", "nonce", "signature", "body"), wechat_messages(wechat, key))
        print("// clang-format on\n\n#endif")


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""Till's own two channels before a far end whose every word the SDKs sign, and which lets them judge every request: neither our
code nor the sandbox's is on that side."""
import contextlib
import http.server
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import unittest
from urllib.parse import parse_qsl, urlencode, urlsplit

import sdk
from harness import Case, wait_for

APP_ID, SELLER_ID = "2021000000000001", "2088000000000007"
MCHID, APPID, SERIAL, KEY_ID = "1900000001", "wx0123456789abcdef", "5157F09EFDC096DE15EBE81A47057A7232F1B8E1", "PUB_KEY_ID_0119"
APIV3_KEY = "0123456789abcdef0123456789ABCDEF"


def setUpModule():
    sdk.need(sdk.node_path, sdk.class_path)


class FarEnd:
    """Alipay at /gateway.do, WeChat Pay at /v3/. A trade is what a test makes of it: paid(), scanned()."""

    def __init__(self):
        self.folder, self.lock = tempfile.mkdtemp(prefix="till-far-"), threading.Lock()
        for who in ("app", "alipay", "merchant", "platform"):
            for args in (["genrsa", "-out", f"{who}.pem", "2048"], ["rsa", "-in", f"{who}.pem", "-pubout", "-out", f"{who}_public.pem"]):
                subprocess.run(["openssl", *args], cwd=self.folder, check=True, stderr=subprocess.DEVNULL, timeout=20)
        with open(self.path("apiv3_key"), "w", encoding="ascii") as f:
            f.write(APIV3_KEY)
        self.trades, self.wrong, self.spoil, self.write = {}, [], lambda text: text, json.dumps
        self.alipay, self.wechatpay = sdk.Java("Alipay"), sdk.Node("wechatpay.js")
        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}"
        threading.Thread(target=self.httpd.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.httpd.shutdown()
        self.httpd.server_close()
        self.alipay.close()
        self.wechatpay.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, file):
        return os.path.join(self.folder, file)

    def text(self, file):
        with open(self.path(file), encoding="ascii") as f:
            return f.read()

    def bare(self, file):
        return "".join(line for line in self.text(file).splitlines() if not line.startswith("-"))

    def flags(self):
        alipay = {"gateway": self.url + "/gateway.do", "app_id": APP_ID, "seller_id": SELLER_ID, "private_key_file": self.path("app.pem"),
                  "alipay_public_key_file": self.path("alipay_public.pem")}
        wechatpay = {"base_url": self.url, "mchid": MCHID, "appid": APPID, "serial": SERIAL, "private_key_file": self.path("merchant.pem"),
                     "platform_key_file": self.path("platform_public.pem"), "platform_key_id": KEY_ID, "apiv3_key_file": self.path("apiv3_key")}
        return [f"--alipay.{k}={v}" for k, v in alipay.items()] + [f"--wechatpay.{k}={v}" for k, v in wechatpay.items()]

    def handler(self):
        far = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                try:
                    with far.lock:
                        status, headers, said = (far.alipay_answer(self.path, body) if self.path.startswith("/gateway.do")
                                                 else far.wechatpay_answer(self.command, self.path, self.headers["Authorization"], body))
                except Exception as e:  # pylint: disable=broad-except
                    far.wrong.append(f"{self.command} {self.path} {body!r}: {e!r}")
                    status, headers, said = 500, {}, ""
                out = far.spoil(said).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(out)))
                self.end_headers()
                self.wfile.write(out)

            do_GET = do_POST = serve

            def log_message(self, *_):
                pass

        return Handler

    # Alipay's

    def alipay_answer(self, target, body):
        fields = parse_qsl(urlsplit(target).query, strict_parsing=True) + parse_qsl(body, strict_parsing=True)
        assert len(dict(fields)) == len(fields), "one of each"
        fields = dict(fields)
        assert self.alipay.call("isSigned", fields=fields, publicKey=self.bare("app_public.pem")) is True, "not signed"
        assert fields["app_id"] == APP_ID, fields
        name, biz = fields["method"].split(".", 2)[2], json.loads(fields["biz_content"])
        node = self.write({"code": "10000", "msg": "Success", "out_trade_no": biz["out_trade_no"], **self.alipay_node(name, biz)})
        # Alipay escapes slashes after it has signed.
        sign = self.alipay.call("sign", content=node.replace("\\/", "/"), privateKey=self.bare("alipay.pem"))
        key = fields["method"].replace(".", "_") + "_response"
        return 200, {"Content-Type": "text/html;charset=utf-8"}, '{"%s":%s,"sign":"%s"}' % (key, node, sign)

    def alipay_node(self, name, biz):
        number = biz["out_trade_no"]
        if name == "precreate":
            self.trades[number] = {"total": biz["total_amount"], "state": None}
            return {"qr_code": "https://qr.alipay.com/bax0" + number}
        trade = self.trades[number]
        if name == "refund":
            return {"trade_no": trade["trade_no"], "fund_change": "Y", "refund_fee": biz["refund_amount"]}
        if trade["state"] is None:
            return {"code": "40004", "msg": "Business Failed", "sub_code": "ACQ.TRADE_NOT_EXIST", "sub_msg": "交易不存在"}
        if name == "close":
            trade["state"] = "TRADE_CLOSED"
            return {"trade_no": trade["trade_no"]}
        assert name == "query", name
        return {"trade_no": trade["trade_no"], "trade_status": trade["state"], "total_amount": trade["total"],
                "buyer_pay_amount": "0.00", "subject": "a\\b \"}{\" 茶 </>"}

    def alipay_trade(self, number, state):
        with self.lock:
            self.trades[number].update(state=state, trade_no="2026112322001" + number[-15:])

    def alipay_notice(self, number, **more):
        fields = {"notify_time": "2026-11-23 10:04:05", "notify_type": "trade_status_sync", "notify_id": "2026112300222100405", "charset": "utf-8",
                  "version": "1.0", "sign_type": "RSA2", "app_id": APP_ID, "auth_app_id": APP_ID, "seller_id": SELLER_ID, "out_trade_no": number,
                  "trade_no": self.trades[number]["trade_no"], "trade_status": self.trades[number]["state"],
                  "total_amount": self.trades[number]["total"], "gmt_payment": "2026-11-23 10:04:04", "subject": "绿茶 100% + 1 \"é\" 🍵",
                  "fund_bill_list": '[{"amount":"1.00","fundChannel":"ALIPAYACCOUNT"}]', **more}
        with self.lock:
            return {**fields, "sign": self.alipay.call("signNotice", fields=fields, privateKey=self.bare("alipay.pem"))}

    # WeChat Pay's

    def wechatpay_signed(self, body):
        return {"Content-Type": "application/json", **self.wechatpay.call("sign", body=body, serial=KEY_ID, privateKey=self.text("platform.pem"))}

    def wechatpay_answer(self, method, target, authorization, body):
        it = dict(re.findall(r'(\w+)="([^"]*)"', authorization))
        assert self.wechatpay.call("isSigned", http=method, target=target, at=it["timestamp"], nonce=it["nonce_str"], body=body,
                                   signature=it["signature"], publicKey=self.text("merchant_public.pem")) is True, "not signed"
        assert (it["mchid"], it["serial_no"]) == (MCHID, SERIAL) and abs(int(it["timestamp"]) - time.time()) < 60, it
        status, answer = self.wechatpay_node(method, urlsplit(target).path.split("/")[2:], json.loads(body) if body else {})
        said = "" if answer is None else self.write(answer)
        return status, self.wechatpay_signed(said), said

    def wechatpay_node(self, method, path, asked):
        if path == ["certificates"]:
            return 404, {"code": "RESOURCE_NOT_EXISTS", "message": "x"}
        if path == ["pay", "transactions", "native"]:
            self.trades[asked["out_trade_no"]] = {"total": asked["amount"]["total"], "state": "NOTPAY"}
            return 200, {"code_url": "weixin://wxpay/bizpayurl?pr=" + asked["out_trade_no"]}
        assert path[:3] == ["pay", "transactions", "out-trade-no"], path
        if method == "GET":
            return 200, self.wechatpay_shown(path[3])
        self.trades[path[3]]["state"] = "CLOSED"
        return 204, None

    def wechatpay_shown(self, number):
        trade = self.trades[number]
        it = {"appid": APPID, "mchid": MCHID, "out_trade_no": number, "trade_state": trade["state"], "trade_state_desc": "状态 </>"}
        if trade["state"] == "SUCCESS":
            it.update(transaction_id="4200" + number[-8:], success_time="2026-11-23T09:49:58+08:00", trade_type="NATIVE",
                      amount={"total": trade["total"], "payer_total": trade["total"], "currency": "CNY"})
        return it

    def wechatpay_notice(self, number):
        """(body, headers)"""
        nonce, associated = "fdasflkja484", "transaction"
        with self.lock:
            sealed = self.wechatpay.call("seal", text=json.dumps(self.wechatpay_shown(number)), apiv3=APIV3_KEY, nonce=nonce, associated=associated)
            body = json.dumps({"id": "EV-1", "create_time": "2026-11-23T09:49:59+08:00", "event_type": "TRANSACTION.SUCCESS",
                               "resource_type": "encrypt-resource", "summary": "支付成功",
                               "resource": {"original_type": "transaction", "algorithm": "AEAD_AES_256_GCM", "nonce": nonce,
                                            "associated_data": associated, "ciphertext": sealed}}, ensure_ascii=False)
            return body, self.wechatpay_signed(body)


# How the same answer may be written: the signature is over the bytes.
SPELLINGS = {"plain": json.dumps, "tight": lambda it: json.dumps(it, ensure_ascii=False, separators=(",", ":")),
             "wide": lambda it: json.dumps(it, indent=2, ensure_ascii=False), "slashed": lambda it: json.dumps(it).replace("/", "\\/")}


class Channels(Case):
    @classmethod
    def setUpClass(cls):
        cls.far = FarEnd()
        cls.addClassCleanup(cls.far.close)
        cls.FLAGS = tuple(cls.far.flags())
        super().setUpClass()

    def tearDown(self):
        self.far.spoil, self.far.write = lambda text: text, json.dumps
        self.assertEqual(self.far.wrong, [], "requests the SDKs could not take")

    def place(self, channel):
        order = self.till.place(self.till.sku(price=100, title="绿茶 100% + 1 \"é\" 🍵" if channel == "alipay" else "绿茶 100% + 1 \"é\""), channel=channel)
        self.assertEqual(order["state"], "awaiting_payment", order)
        return order["id"], order["payment"]["out_trade_no"]

    def check(self, order):
        return self.till.good("POST", f"/v1/orders/{order}/check")["state"]

    def asked(self, order, method):
        return [row["outcome"] for row in self.till.timeline(order) if row["kind"] == "provider" and row.get("method") == method]

    def is_unknown_when_spoilt(self, order, spoil):
        """The far end says that it is paid, but not in these bytes."""
        before = len(self.asked(order, "query"))
        with contextlib.ExitStack() as stack:
            self.far.spoil = spoil
            stack.callback(setattr, self.far, "spoil", lambda text: text)
            self.assertEqual(self.check(order), "awaiting_payment")
            wait_for(lambda: len(self.asked(order, "query")) > before, 5, "the query")
        self.assertEqual(set(self.asked(order, "query")[before:]), {"unknown"})

    # Alipay

    def test_alipay_from_code_to_refund(self):
        for name, write in SPELLINGS.items():
            with self.subTest(name):
                self.far.write = write
                order, number = self.place("alipay")
                self.assertEqual(self.till.order(order)["payment"]["qr_code"], "https://qr.alipay.com/bax0" + number)
                self.assertEqual(self.check(order), "awaiting_payment")
                self.far.alipay_trade(number, "TRADE_SUCCESS")
                self.check(order)
                it = self.till.until(order, "paid")
                self.assertEqual((it["paid_amount"], it["payment"]["provider_trade_no"]), (100, self.far.trades[number]["trade_no"]))
                self.till.good("POST", f"/v1/orders/{order}/refunds", {"amount": 30})
                wait_for(lambda order=order: self.till.order(order)["refunded_amount"] == 30, 5, "the refund")

    def test_alipay_closes_a_scanned_trade(self):
        order, number = self.place("alipay")
        self.far.alipay_trade(number, "WAIT_BUYER_PAY")
        self.till.good("POST", f"/v1/orders/{order}/cancel")
        self.till.until(order, "cancelled")
        self.assertEqual(self.far.trades[number]["state"], "TRADE_CLOSED")

    def test_alipay_s_altered_answers_are_unknown(self):
        order, number = self.place("alipay")
        self.far.alipay_trade(number, "TRADE_SUCCESS")
        for what, spoil in (("amount", lambda text: text.replace('"1.00"', '"9.00"')), ("a space", lambda text: text.replace('"code":', '"code" :')),
                            ("sign", lambda text: re.sub(r'(?<="sign":")[^"]*', lambda m: sdk.respelt(m[0]), text)),
                            ("none", lambda text: re.sub(r',"sign":"[^"]*"', "", text))):
            with self.subTest(what):
                self.is_unknown_when_spoilt(order, spoil)
        self.check(order)
        self.till.until(order, "paid")

    def test_alipay_s_notification(self):
        order, number = self.place("alipay")
        self.far.alipay_trade(number, "TRADE_SUCCESS")
        fields = self.far.alipay_notice(number)
        headers = {"Content-Type": "application/x-www-form-urlencoded;charset=utf-8"}
        for spoilt in ({"total_amount": "9.00"}, {"extra": "x"}, {"sign": sdk.respelt(fields["sign"])}, {"sign": ""}):
            answer = self.till.call("POST", "/notify/alipay", urlencode({**fields, **spoilt}), headers)
            self.assertNotEqual(answer.body, b"success", spoilt)
        for foreign in ({"app_id": "2021000000000002"}, {"seller_id": "2088000000000008"}):
            answer = self.till.call("POST", "/notify/alipay", urlencode(self.far.alipay_notice(number, **foreign)), headers)
            self.assertNotEqual(answer.body, b"success", foreign)
        self.assertEqual(self.till.order(order)["state"], "awaiting_payment")
        self.assertEqual(self.till.call("POST", "/notify/alipay", urlencode(fields), headers).body, b"success")
        self.till.until(order, "paid")

    # WeChat Pay

    def test_wechat_pay_from_code_to_payment(self):
        for name, write in SPELLINGS.items():
            with self.subTest(name):
                self.far.write = write
                order, number = self.place("wechatpay")
                self.assertEqual(self.till.order(order)["payment"]["qr_code"], "weixin://wxpay/bizpayurl?pr=" + number)
                self.assertEqual(self.check(order), "awaiting_payment")
                self.far.trades[number]["state"] = "SUCCESS"
                self.check(order)
                self.till.until(order, "paid")

    def test_wechat_pay_closes(self):
        order, number = self.place("wechatpay")
        self.till.good("POST", f"/v1/orders/{order}/cancel")
        self.till.until(order, "cancelled")
        self.assertEqual(self.far.trades[number]["state"], "CLOSED")

    def test_wechat_pay_s_altered_answers_are_unknown(self):
        order, number = self.place("wechatpay")
        self.far.trades[number]["state"] = "SUCCESS"
        for what, spoil in (("amount", lambda text: text.replace("100", "900")), ("a space", lambda text: text + " ")):
            with self.subTest(what):
                self.is_unknown_when_spoilt(order, spoil)
        self.check(order)
        self.till.until(order, "paid")

    def test_wechat_pay_s_notification(self):
        order, number = self.place("wechatpay")
        self.far.trades[number]["state"] = "SUCCESS"
        body, headers = self.far.wechatpay_notice(number)
        signature = headers["Wechatpay-Signature"]
        for what, (b, h) in {"body": (body + " ", headers), "signature": (body, {**headers, "Wechatpay-Signature": sdk.respelt(signature)}),
                             "serial": (body, {**headers, "Wechatpay-Serial": SERIAL}), "nonce": (body, {**headers, "Wechatpay-Nonce": "x"}),
                             "probe": (body, {**headers, "Wechatpay-Signature": "WECHATPAY/SIGNTEST/" + signature})}.items():
            with self.subTest(what):
                self.assertEqual(self.till.call("POST", "/notify/wechatpay", b, h).status, 401)
        self.assertEqual(self.till.order(order)["state"], "awaiting_payment")
        self.assertIn(self.till.call("POST", "/notify/wechatpay", body, headers).status, (200, 204))
        self.till.until(order, "paid")


if __name__ == "__main__":
    unittest.main()

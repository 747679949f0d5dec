# SPDX-License-Identifier: Apache-2.0
"""WeChat Pay, seen from both ends: Till's API on one, a small gateway of the tests' own on the other.

The gateway keeps to WeChat Pay's documents and shares no code with Till: it checks what is signed and signs what it says with
the openssl program, and seals notifications with the system's libcrypto.
"""
import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness import Case, Process, call, free_ports, instant, wait_for
from wechat import seal

MCHID, APPID, SERIAL, KEY_ID = "1900000001", "wx0123456789abcdef", "5157F09EFDC096DE15EBE81A47057A7232F1B8E1", "PUB_KEY_ID_0119"
APIV3_KEY = "0123456789abcdef0123456789ABCDEF"


def openssl(*args, data=b""):
    return subprocess.run(["openssl", *args], input=data, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


class Gateway:
    """What WeChat Pay would answer. A trade is a dict; what a merchant's request said stands under "asked"."""

    def __init__(self, folder):
        self.folder, self.trades, self.refunds, self.wrong, self.lock = folder, {}, {}, [], threading.Lock()
        self.signers, self.signer, self.certificates = {KEY_ID: "platform"}, KEY_ID, []
        for who in ("merchant", "platform"):
            openssl("genrsa", "-out", self.file(f"{who}.pem"), "2048")
            openssl("rsa", "-in", self.file(f"{who}.pem"), "-pubout", "-out", self.file(f"{who}_public.pem"))
        for name, text in (("apiv3_key", APIV3_KEY), ("app_secret", "s3cret")):
            with open(self.file(name), "w", encoding="ascii") as f:
                f.write(text)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def file(self, name):
        return os.path.join(self.folder, name)

    def flags(self):
        return [f"--wechatpay.{key}={value}" for key, value in {
            "base_url": self.url, "mchid": MCHID, "appid": APPID, "serial": SERIAL, "private_key_file": self.file("merchant.pem"),
            "platform_key_file": self.file("platform_public.pem"), "platform_key_id": KEY_ID, "apiv3_key_file": self.file("apiv3_key"),
            "oauth_url": self.url, "app_secret_file": self.file("app_secret")}.items()]

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    # The protocol

    def signed(self, body):
        """The headers of an answer or a notification."""
        timestamp, nonce = str(int(time.time())), "c5ac7061fccab6bf3e254dcf98995b8c"
        text = f"{timestamp}\n{nonce}\n".encode() + body + b"\n"
        key = self.file(f"{self.signers[self.signer]}.pem")
        return {"Wechatpay-Timestamp": timestamp, "Wechatpay-Nonce": nonce, "Wechatpay-Serial": self.signer, "Wechatpay-Signature":
                base64.b64encode(openssl("dgst", "-sha256", "-sign", key, data=text)).decode()}

    def certify(self, serial):
        """A platform certificate of this serial, not shown to anybody yet."""
        self.signers[serial] = serial
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.file(f"{serial}.pem"), "-out", self.file(f"{serial}_cert.pem"),
                "-set_serial", "0x" + serial, "-subj", "/CN=Tenpay.com", "-days", "30")

    def certificate(self, serial):
        with open(self.file(f"{serial}_cert.pem"), "rb") as f:
            sealed = seal(APIV3_KEY.encode(), f.read(), "61f9c719728a", "certificate")
        return {"serial_no": serial, "effective_time": "2026-01-01T00:00:00+08:00", "expire_time": "2031-01-01T00:00:00+08:00",
                "encrypt_certificate": {"algorithm": "AEAD_AES_256_GCM", "nonce": "61f9c719728a", "associated_data": "certificate",
                                        "ciphertext": sealed}}

    def check(self, method, target, authorization, body):
        fields = dict(re.findall(r'(\w+)="([^"]*)"', authorization))
        text = "\n".join((method, target, fields["timestamp"], fields["nonce_str"], body.decode(), "")).encode()
        signature = tempfile.NamedTemporaryFile(dir=self.folder)
        signature.write(base64.b64decode(fields["signature"]))
        signature.flush()
        openssl("dgst", "-sha256", "-verify", self.file("merchant_public.pem"), "-signature", signature.name, data=text)
        assert authorization.startswith("WECHATPAY2-SHA256-RSA2048 "), authorization
        assert (fields["mchid"], fields["serial_no"]) == (MCHID, SERIAL), fields
        assert abs(int(fields["timestamp"]) - time.time()) < 10, fields

    def shown(self, number):
        it = {"appid": APPID, "mchid": MCHID, "out_trade_no": number, "trade_state": self.trades[number]["state"],
              "trade_state_desc": "x"}
        if it["trade_state"] in ("SUCCESS", "REFUND"):
            total = self.trades[number]["asked"]["amount"]["total"]
            it.update(transaction_id="4200" + number[-8:], success_time="2026-11-23T09:49:58+08:00", trade_type="NATIVE",
                      amount={"total": total, "payer_total": total - 1, "currency": "CNY"})
        return it

    def answer(self, method, target, asked):
        """(status, JSON or None) of one request that was signed well."""
        path = target.split("?")[0].split("/")[2:]
        if path == ["certificates"]:
            return (200, {"data": [self.certificate(c) for c in self.certificates]}) if self.certificates else \
                   (404, {"code": "RESOURCE_NOT_EXISTS", "message": "x"})
        if path[:2] == ["pay", "transactions"] and len(path) == 3:
            self.trades.setdefault(asked["out_trade_no"], {"state": "NOTPAY", "asked": asked})
            return 200, {"code_url": "weixin://wxpay/bizpayurl?pr=" + asked["out_trade_no"]}
        if path[:3] == ["pay", "transactions", "out-trade-no"]:
            trade = self.trades.get(path[3])
            if not trade:
                return 404, {"code": "ORDER_NOT_EXIST", "message": "x"}
            if method == "GET":
                return 200, self.shown(path[3])
            if trade["state"] != "NOTPAY":
                return 400, {"code": "ORDERPAID", "message": "x"}
            trade["state"] = "CLOSED"
            return 204, None
        if method == "POST":
            self.trades[asked["out_trade_no"]]["state"] = "REFUND"
            self.refunds[asked["out_refund_no"]] = asked
        asked = self.refunds.get(asked["out_refund_no"] if method == "POST" else path[3])
        if not asked:
            return 404, {"code": "RESOURCE_NOT_EXISTS", "message": "x"}
        return 200, dict(asked, refund_id="5030", transaction_id="42", status="PROCESSING" if method == "POST" else "SUCCESS")

    def handler(self):
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                try:
                    gateway.check(self.command, self.path, self.headers["Authorization"], body)
                    with gateway.lock:
                        status, it = gateway.answer(self.command, self.path, json.loads(body) if body else {})
                except Exception as e:  # pylint: disable=broad-except
                    gateway.wrong.append(f"{self.command} {self.path} {body!r}: {e!r}")
                    status, it = 401, {"code": "SIGN_ERROR", "message": "x"}
                out = b"" if it is None else json.dumps(it).encode()
                self.send_response(status)
                for name, value in gateway.signed(out).items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(out)))
                self.end_headers()
                self.wfile.write(out)

            do_GET = do_POST = serve

        return Handler

    # What a buyer and WeChat Pay do by themselves

    def pay(self, number):
        with self.lock:
            assert self.trades[number]["state"] == "NOTPAY", self.trades[number]
            self.trades[number]["state"] = "SUCCESS"

    def notice(self, number, **changes):
        """(body, headers) of the notification of a payment."""
        nonce, associated = "fdasflkja484", "transaction"
        plain = json.dumps(dict(self.shown(number), **changes)).encode()
        body = json.dumps({"id": "EV-1", "create_time": "2026-11-23T09:49:59+08:00", "event_type": "TRANSACTION.SUCCESS",
                           "resource_type": "encrypt-resource", "summary": "支付成功",
                           "resource": {"original_type": "transaction", "algorithm": "AEAD_AES_256_GCM", "nonce": nonce,
                                        "associated_data": associated, "ciphertext": seal(APIV3_KEY.encode(), plain, nonce, associated)}},
                          ensure_ascii=False).encode()
        return body, dict(self.signed(body), **{"Content-Type": "application/json"})


class GatewayCase(Case):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="till-wechat-")
        cls.addClassCleanup(shutil.rmtree, folder, True)
        cls.gateway = Gateway(folder)
        cls.addClassCleanup(cls.gateway.close)
        cls.FLAGS = tuple(cls.flags())
        super().setUpClass()

    @classmethod
    def flags(cls):
        return cls.gateway.flags()

    def setUp(self):
        super().setUp()
        self.sku = self.till.sku(stock=10, price=100)

    def tearDown(self):
        self.assertEqual(self.gateway.wrong, [], "what the gateway could not take")

    def place(self):
        order = self.till.place(self.sku, 2, channel="wechatpay")
        self.assertEqual(order["state"], "awaiting_payment", order)
        return order, order["payment"]["out_trade_no"]


class WechatPay(GatewayCase):
    def test_the_code_is_wechat_s_and_the_order_asked_for_is_ours(self):
        order, number = self.place()
        self.assertEqual(order["payment"]["qr_code"], "weixin://wxpay/bizpayurl?pr=" + number)
        asked = self.gateway.trades[number]["asked"]
        self.assertEqual((asked["appid"], asked["mchid"], asked["amount"]), (APPID, MCHID, {"total": 200, "currency": "CNY"}))
        self.assertEqual(asked["notify_url"], self.till.url + "/notify/wechatpay")
        self.assertRegex(asked["time_expire"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+08:00$")
        self.assertRegex(number, r"^[0-9A-Za-z_]{6,32}$")

    def test_a_notification_pays_the_order_once(self):
        order, number = self.place()
        self.gateway.pay(number)
        notice, headers = self.gateway.notice(number)
        for _ in range(3):
            answer = self.till.call("POST", "/notify/wechatpay", notice, headers)
            self.assertIn(answer.status, (200, 204), repr(answer))
        paid = self.till.until(order["id"], "paid")
        self.assertEqual(paid["paid_amount"], 200)
        self.assert_stock(self.sku, 8, 0, 2)
        self.assert_lived_well(order["id"])

    def test_a_lost_notification_is_asked_for(self):
        order, number = self.place()
        self.gateway.pay(number)
        self.till.good("POST", f"/v1/orders/{order['id']}/check")
        self.till.until(order["id"], "paid")

    def test_a_cancelled_order_is_closed_at_wechat(self):
        order, number = self.place()
        self.till.good("POST", f"/v1/orders/{order['id']}/cancel")
        self.till.until(order["id"], "cancelled")
        self.assertEqual(self.gateway.trades[number]["state"], "CLOSED")
        self.assert_stock(self.sku, 10, 0, 0)

    def test_a_payment_that_wins_the_race_against_closing_counts(self):
        order, number = self.place()
        self.gateway.pay(number)
        self.till.good("POST", f"/v1/orders/{order['id']}/cancel")
        self.till.until(order["id"], "paid")

    def test_a_refund_is_accepted_and_asked_about(self):
        order, number = self.place()
        self.gateway.pay(number)
        self.till.good("POST", f"/v1/orders/{order['id']}/check")
        self.till.until(order["id"], "paid")
        self.till.good("POST", f"/v1/orders/{order['id']}/refunds", {"amount": 50})
        wait_for(lambda: self.gateway.refunds, 3, "the refund at WeChat")
        self.till.advance("15s")
        wait_for(lambda: self.till.order(order["id"])["refunded_amount"] == 50, 3, "the refund's end")
        refund = next(r for r in self.gateway.refunds.values() if r["out_trade_no"] == number)
        self.assertEqual(refund["amount"], {"refund": 50, "total": 200, "currency": "CNY"})

    def refused(self, what, body, headers):
        self.n_refused += 1
        answer = self.till.call("POST", "/notify/wechatpay", body, headers)
        with self.subTest(what):
            self.assertEqual(answer.status, 401, repr(answer))
            self.assertEqual(answer.json["code"], "FAIL")

    def test_row_16_what_wechat_did_not_say_changes_nothing(self):
        order, number = self.place()
        self.gateway.pay(number)
        notice, headers = self.gateway.notice(number)
        before, counted, self.n_refused = self.till.snapshot(), self.till.notices_refused(), 0
        self.refused("no body", b"", headers)
        self.refused("no headers", notice, {})
        for name in ("Timestamp", "Nonce", "Serial", "Signature"):
            self.refused("no " + name, notice, {k: v for k, v in headers.items() if k != "Wechatpay-" + name})
        self.refused("an old one", notice, dict(headers, **{"Wechatpay-Timestamp": str(int(time.time()) - 360)}))
        self.refused("a probe", notice, dict(headers, **{"Wechatpay-Signature": "WECHATPAY/SIGNTEST/" + headers["Wechatpay-Signature"]}))
        self.refused("another key", notice, dict(headers, **{"Wechatpay-Serial": SERIAL}))
        self.refused("another body", notice.replace(b"EV-1", b"EV-2"), headers)
        self.refused("another merchant", *self.gateway.notice(number, mchid="1900000002"))
        self.refused("another application", *self.gateway.notice(number, appid="wx0"))
        self.refused("another state", *self.gateway.notice(number, trade_state="NOTPAY"))
        self.refused("no amount", *self.gateway.notice(number, amount=None))
        self.unchanged(before)
        self.assertEqual(self.till.notices_refused() - counted, self.n_refused)
        self.assertEqual(self.till.order(order["id"])["state"], "awaiting_payment")
        self.assertIn(self.till.call("POST", "/notify/wechatpay", notice, headers).status, (200, 204))
        self.till.until(order["id"], "paid")


class KeysThatChange(GatewayCase):
    OLD, NEW = "3A" * 20, "4B" * 20

    @classmethod
    def flags(cls):
        """By certificates alone."""
        for serial in (cls.OLD, cls.NEW):
            cls.gateway.certify(serial)
        cls.gateway.signer, cls.gateway.certificates = cls.OLD, [cls.OLD]
        return [f for f in cls.gateway.flags() if "platform_key" not in f] + ["--wechatpay.platform_key_file=", "--wechatpay.platform_key_id="]

    def on_its_way(self):
        """An order, and the notification that it was paid; whoever asks is told that it was not."""
        order, number = self.place()
        self.gateway.pay(number)
        notice = self.gateway.notice(number)
        self.gateway.trades[number]["state"] = "NOTPAY"
        return order, notice

    def tell(self, notice):
        return self.till.call("POST", "/notify/wechatpay", *notice).status

    def state(self, order):
        return self.till.order(order["id"])["state"]

    def test_row_19_the_platform_s_key_changes_between_sending_and_receiving(self):
        refused = lambda: self.till.metrics()['till_notifications_refused_total{verdict="forged"}']
        one, signed_by_the_old = self.on_its_way()
        two, number = self.place()
        self.gateway.signer, self.gateway.certificates = self.NEW, [self.OLD, self.NEW]
        self.gateway.pay(number)
        signed_by_the_new, before = self.gateway.notice(number), refused()
        self.gateway.trades[number]["state"] = "NOTPAY"
        self.assertEqual((self.tell(signed_by_the_new), refused() - before), (401, 1), "not known yet")
        self.assertEqual(self.state(two), "awaiting_payment")
        self.assertIn(self.tell(signed_by_the_old), (200, 204), "both are valid for a while")
        self.till.until(one["id"], "paid")
        self.till.advance("61s")  # until new certificates may be asked for
        wait_for(lambda: self.tell(signed_by_the_new) in (200, 204), 5, "belief in what is told again")
        self.till.until(two["id"], "paid")
        self.gateway.signer = self.OLD
        three, signed_by_the_old = self.on_its_way()
        self.gateway.signer, self.gateway.certificates = self.NEW, [self.NEW]
        self.till.advance("13h")
        self.place()  # used again, the channel looks whether certificates are new
        wait_for(lambda: self.tell(signed_by_the_old) == 401, 5, "an end of belief in the old one")
        self.assertNotEqual(self.state(three), "paid")
        self.assert_audit()


class ServeFollowsItsSandbox(unittest.TestCase):
    def test_the_clock_of_the_sandbox_that_base_url_names_moves_along(self):
        folder = tempfile.mkdtemp(prefix="till-wechat-")
        self.addCleanup(shutil.rmtree, folder, True)
        till, sandbox = (f"http://127.0.0.1:{port}" for port in free_ports(2))
        keys = os.path.join(folder, "keys")
        other = Process(["sandbox", "--listen", sandbox[7:], "--keys", keys], (sandbox, "/dev/clock"), os.path.join(folder, "1.log"))
        self.addCleanup(other.kill)
        other.start()
        with open(os.path.join(keys, "sandbox.json"), encoding="utf-8") as f:
            who = json.load(f)
        flags = {"base_url": sandbox, "mchid": who["mchid"], "appid": who["appid"], "serial": who["merchant_serial"],
                 "private_key_file": os.path.join(keys, "merchant_private_key.pem"), "apiv3_key_file": os.path.join(keys, "apiv3_key")}
        server = Process(["serve", "--listen", till[7:], "--test-clock", "--store.url", f"sqlite:{folder}/till.db"] +
                         [f"--wechatpay.{key}={value}" for key, value in flags.items()], (till, "/readyz"), os.path.join(folder, "2.log"))
        self.addCleanup(server.kill)
        server.start()
        self.assertTrue(call(till, "POST", "/dev/clock", {"advance": "1h"}).json["settled"])
        for url in (till, sandbox):
            self.assertAlmostEqual(instant(call(url, "GET", "/dev/clock").json["now"]) - time.time(), 3600, delta=2)
        self.assertEqual(server.stop()[0], 0)
        self.assertEqual(other.stop()[0], 0)


if __name__ == "__main__":
    unittest.main()

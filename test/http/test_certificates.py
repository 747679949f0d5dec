# SPDX-License-Identifier: Apache-2.0
"""`till serve` in Alipay's certificate mode, beside `till sandbox` whose certificates it was given."""
import json
import os
import tempfile
import unittest

from harness import Process, call, free_ports, run_till, wait_for


class CertificateMode(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="till-certs-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        port, sandbox_port = free_ports(2)
        self.url, self.sandbox = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{sandbox_port}"
        self.keys = os.path.join(self.folder, "keys")
        self.start(["sandbox", "--listen", f"127.0.0.1:{sandbox_port}", "--keys", self.keys], (self.sandbox, "/wallet/ledger"), "sandbox")
        with open(self.key("sandbox.json"), encoding="utf-8") as f:
            identity = json.load(f)
        self.flags = ["serve", "--listen", f"127.0.0.1:{port}", "--store.url", f"sqlite:{self.folder}/till.db",
                      "--alipay.gateway", self.sandbox + "/gateway.do", "--alipay.app_id", identity["app_id"], "--alipay.seller_id",
                      identity["seller_id"], "--alipay.private_key_file", self.key("app_private_key.pem")]

    def key(self, file):
        return os.path.join(self.keys, file)

    def start(self, args, ready, name):
        process = Process(args, ready, os.path.join(self.folder, name + ".log"))
        self.addCleanup(process.kill)
        return process.start()

    def certificates(self, app="app_cert.pem", alipay="alipay_cert.pem", root="alipay_root_cert.pem"):
        return ["--alipay.app_cert_file", self.key(app), "--alipay.alipay_cert_file", self.key(alipay), "--alipay.root_cert_file",
                self.key(root)]

    def good(self, method, path, body=None, base=None):
        answer = call(base or self.url, method, path, body)
        self.assertIn(answer.status, (200, 201), repr(answer))
        return answer.json

    def test_an_order_is_paid_and_refunded(self):
        server = self.start(self.flags + self.certificates(), (self.url, "/readyz"), "serve")
        order = self.good("POST", "/v1/orders", {"amount": 880, "subject": "tea 绿茶", "channel": "alipay"})
        self.assertEqual(order["state"], "awaiting_payment", order)
        paid = self.good("POST", "/wallet/pay", {"code": order["payment"]["qr_code"]}, self.sandbox)
        path = f"/v1/orders/{order['id']}"
        wait_for(lambda: self.good("GET", path)["state"] == "paid", 10, "the payment")
        kinds = {row["kind"] for row in self.good("GET", path + "/timeline")["data"]}
        self.assertIn("notification", kinds, "verified with the certificate's key")
        self.assertEqual(self.good("POST", path + "/check")["payment"]["provider_trade_no"], paid["provider_trade_no"])
        self.good("POST", path + "/refunds", {"amount": 80})
        wait_for(lambda: self.good("GET", path)["refunded_amount"] == 80, 20, "the refund")
        status, out, _ = run_till("audit", "--store", f"sqlite:{self.folder}/till.db", "--sandbox", self.sandbox)
        self.assertEqual(status, 0, out)
        self.assertEqual(server.stop()[0], 0)

    def test_certificates_that_do_not_fit_are_named(self):
        for files, says in (({"app": "alipay_cert.pem"}, "alipay.app_cert_file"), ({"alipay": "app_cert.pem"}, "alipay.alipay_cert_file"),
                            ({"alipay": "alipay_public_key.pem"}, "alipay.alipay_cert_file"), ({"root": "sandbox.json"}, "alipay.root_cert_file")):
            with self.subTest(says):
                status, _, err = run_till(*self.flags, *self.certificates(**files), timeout=20)
                self.assertEqual(status, 1, err)
                self.assertIn(says, err)

    def test_a_root_the_gateway_does_not_know_makes_no_code(self):
        self.start(self.flags + self.certificates(root="app_cert.pem"), (self.url, "/readyz"), "serve")
        order = self.good("POST", "/v1/orders", {"amount": 1, "subject": "x", "channel": "alipay"})
        timeline = self.good("GET", f"/v1/orders/{order['id']}/timeline")["data"]
        self.assertIn("isv.invalid-alipay-root-cert-sn", {row.get("detail") for row in timeline}, timeline)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""Money that an SDK took past Till: `till audit --sandbox` sees what is under a number of ours and what is somebody else's."""
import json
import sqlite3
import struct
import subprocess
import time
import unittest

import sdk
from harness import Case

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # src/base/id.h: how a row's key becomes a number


def setUpModule():
    sdk.need(sdk.node_path)


def number_of_ours(store):
    """An out_trade_no as this store would make it, for a row it never had."""
    db = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    try:
        secret = db.execute("SELECT secret FROM meta").fetchone()[0]
    finally:
        db.close()
    key = (int(time.time() * 1000) - 1577836800000) << 22 | 255 << 14  # a node that is not there
    done = subprocess.run(["openssl", "mac", "-binary", "-macopt", f"hexkey:{secret.hex()}", "-macopt", "size:16", "SIPHASH"],
                          input=struct.pack("<QQ", 8, key), stdout=subprocess.PIPE, check=True, timeout=20)
    a, b = struct.unpack("<QQ", done.stdout)
    return "".join([*(ALPHABET[key >> 5 * (12 - i) & 31] for i in range(13)), *(ALPHABET[a >> 5 * i & 31] for i in range(12)),
                    *(ALPHABET[b >> 5 * i & 31] for i in range(4))])


class PastTill(Case):
    def take_money(self, number):
        with sdk.Node("alipay.js") as alipay:
            with open(f"{self.till.data}/keys/sandbox.json", encoding="utf-8") as f:
                app_id = json.load(f)["app_id"]
            with open(f"{self.till.data}/keys/app_private_key.pem", encoding="ascii") as f:
                key = f.read()
            with open(f"{self.till.data}/keys/alipay_public_key.pem", encoding="ascii") as f:
                alipay_key = f.read()
            alipay.call("init", gateway=self.till.sandbox + "/gateway.do", appId=app_id, privateKey=key, keyType="PKCS8",
                        alipayPublicKey=alipay_key)
            answer = alipay.call("exec", method="alipay.trade.precreate",
                                 bizContent={"out_trade_no": number, "total_amount": "1.23", "subject": "past Till"})
        self.assertEqual(answer["code"], "10000", answer)
        self.assertEqual(self.till.pay(answer["qrCode"]).status, 200)

    def line(self, audit, name):
        return next(line for line in json.loads(audit)["lines"] if line["name"] == name)

    def test_a_capture_under_a_number_of_ours_that_we_never_gave_is_broken(self):
        order = self.till.place(self.till.sku())
        self.till.scan_and_pay(order)
        self.till.until(order["id"], "paid")
        self.take_money("SOMEBODY_ELSES_1")
        self.assert_audit()
        number = number_of_ours(f"{self.till.data}/till.db")
        self.assertEqual(len(number), len(order["payment"]["out_trade_no"]))
        self.take_money(number)
        status, out, _ = self.till.audit()
        self.assertEqual(status, 1, out)
        line = self.line(out, "ledger_captures_accounted")
        self.assertEqual((line["verdict"], line["broken"], line["examples"]), ("BROKEN", 1, number), out)
        self.assertEqual(self.line(out, "ledger_foreign")["checked"], 1, out)


if __name__ == "__main__":
    unittest.main()

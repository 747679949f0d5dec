# SPDX-License-Identifier: Apache-2.0
"""Whatever comes in, broken, huge, foreign or malicious: a clear problem, no state changed, no log entry forged."""
import base64
import contextlib
import json
import os
import re
import socket
import subprocess
import tempfile
import time
import unittest
from urllib.parse import parse_qsl, quote, urlencode

from harness import Case, Process, Recorder, Till, at_once, call, free_ports, name, raw, wait_for

MALFORMED = {
    "nothing": b"", "a space": b" ", "an open brace": b"{", "a word": b"nul", "an array": b"[]", "a string": b'"x"',
    "a number": b"1", "null": b"null", "true": b"true", "two values": b"{}{}", "text behind": b"{} x", "single quotes": b"{'a':1}",
    "a comma too many": b'{"quantity":1,}', "a comment": b'{/* */}', "no quotes": b"{quantity:1}", "a raw newline": b'{"a":"\n"}',
    "bad UTF-8": b'{"title":"\xff\xfe"}', "overlong UTF-8": b'{"title":"\xc0\xaf"}', "a UTF-8 surrogate": b'{"title":"\xed\xa0\x80"}',
    "half a character": b'{"title":"\xe8\x8b', "beyond Unicode": b'{"title":"\xf4\x90\x80\x80"}', "UTF-16": '{"a":1}'.encode("utf-16"),
    "deep arrays": b"[" * 20000, "deep objects": b'{"a":' * 8000, "xml": b"<xml><a>1</a></xml>", "a form": b"quantity=1",
    "only NULs": b"\0" * 100, "a NUL behind": b"{}\0",
}
WRONG_INTEGERS = (-1, 0, 1.5, 1.0, "1", "", None, True, [], {}, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30, -2**63)
CANARY = "FORGED-BY-A-CALLER"
ANSI = "\x1b[31m\x1b]0;title\x07"


class BadInput(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        till = cls.till
        cls.item = till.sku(stock=100, price=100)
        cls.cart = name("cart")
        till.good("PUT", f"/v1/carts/{cls.cart}/items/{cls.item}", {"quantity": 1})
        cls.order = till.place(cls.item, 2)
        cls.paid = till.place(cls.item, 3)
        till.scan_and_pay(cls.paid)
        till.until(cls.paid["id"], "paid", 2.0)
        # every door that takes JSON
        cls.doors = (("POST", "/v1/orders"), ("PUT", f"/v1/skus/{name()}"), ("PUT", f"/v1/skus/{cls.item}"),
                     ("POST", f"/v1/skus/{cls.item}/stock"), ("PUT", f"/v1/carts/{cls.cart}/items/{cls.item}"))
        cls.doors_empty_ok = (("POST", f"/v1/orders/{cls.order['id']}/cancel"), ("POST", f"/v1/orders/{cls.paid['id']}/refunds"))

    def setUp(self):
        super().setUp()
        self.before = self.till.snapshot()
        self.cart_before = self.till.good("GET", f"/v1/carts/{self.cart}")

    def tearDown(self):
        self.assertTrue(self.till.server.alive(), f"the server is gone: {self.till.log()[-1500:]!r}")
        self.unchanged(self.before)
        self.assertEqual(self.till.good("GET", f"/v1/carts/{self.cart}"), self.cart_before)

    def order_body(self, **more):
        return dict({"items": [{"sku": self.item, "quantity": 1}], "channel": "any"}, **more)

    def refuse(self, method, path, body, status=(400, 422), code=None, pointer=None, headers=None):
        with self.subTest(f"{method} {path} {str(body)[:80]!r}"):
            return self.problem(self.till.call(method, path, body, headers), status, code, pointer)

    def test_malformed_json_is_400_at_every_door(self):
        for method, path in self.doors + self.doors_empty_ok + (("POST", "/dev/clock"),):
            for what, body in MALFORMED.items():
                if what == "nothing" and (method, path) in self.doors_empty_ok:
                    continue
                with self.subTest(f"{method} {path}: {what}"):
                    self.problem(self.till.call(method, path, body), (400, 415))

    def test_text_that_is_no_unicode_is_refused_in_strings(self):
        for text in (r"\ud800", r"\udc00\ud800", r"\u0000", r"a\u0000b"):
            for body in ('{"title":"%s","price":1}' % text,):
                self.refuse("PUT", f"/v1/skus/{name()}", body)
            for field in ("buyer", "merchant_order_no", "cart"):
                body = '{"items":[{"sku":"%s","quantity":1}],"channel":"any","%s":"%s"}' % (self.item, field, text)
                self.refuse("POST", "/v1/orders", body)
            self.refuse("POST", "/v1/orders", '{"amount":5,"subject":"%s"}' % text)
            self.refuse("POST", "/v1/orders", '{"items":[{"sku":"%s","quantity":1}]}' % text)

    def test_a_member_given_twice_is_refused(self):
        item = '{"sku":"%s","quantity":1}' % self.item
        for body in ('{"items":[%s],"items":[%s],"channel":"any"}' % (item, item),
                     '{"items":[{"sku":"%s","quantity":1,"quantity":2}],"channel":"any"}' % self.item):
            self.refuse("POST", "/v1/orders", body)
        self.refuse("POST", f"/v1/skus/{self.item}/stock", '{"add":1,"add":2}')

    def test_unknown_fields_are_refused_and_pointed_at(self):
        for method, path, body, pointer in (
                ("POST", "/v1/orders", self.order_body(itmes=[]), "/itmes"),
                ("POST", "/v1/orders", self.order_body(pay_wihtin=60), "/pay_wihtin"),
                ("POST", "/v1/orders", {"items": [{"sku": self.item, "quantity": 1, "colour": "red"}]}, "/items/0/colour"),
                ("POST", "/v1/orders", self.order_body(**{"a/b~c": 1}), "/a~1b~0c"),
                ("PUT", f"/v1/skus/{name()}", {"title": "x", "price": 1, "stocks": 1}, "/stocks"),
                ("POST", f"/v1/skus/{self.item}/stock", {"add": 1, "why": "x"}, "/why"),
                ("PUT", f"/v1/carts/{self.cart}/items/{self.item}", {"quantity": 2, "price": 1}, "/price"),
                ("POST", f"/v1/orders/{self.order['id']}/cancel", {"reasons": "buyer"}, "/reasons"),
                ("POST", f"/v1/orders/{self.paid['id']}/refunds", {"amounts": 1}, "/amounts"),
                ("POST", "/dev/clock", {"advanced": "5m"}, None)):
            self.refuse(method, path, body, 400, None, pointer)

    def test_prices_from_the_caller_are_refused(self):
        for body in ({"items": [{"sku": self.item, "quantity": 1, "price": 1}]}, self.order_body(amount=1),
                     self.order_body(price=1), self.order_body(total=1), self.order_body(amount=1, subject="cheap")):
            self.refuse("POST", "/v1/orders", body)

    def test_quantities_that_are_none(self):
        for quantity in WRONG_INTEGERS:
            self.refuse("POST", "/v1/orders", {"items": [{"sku": self.item, "quantity": quantity}], "channel": "any"},
                        (400, 409, 422))
            if quantity != 0:
                self.refuse("PUT", f"/v1/carts/{self.cart}/items/{self.item}", {"quantity": quantity})
        self.refuse("POST", "/v1/orders", '{"items":[{"sku":"%s","quantity":1e400}]}' % self.item)
        self.refuse("POST", "/v1/orders", '{"items":[{"sku":"%s","quantity":-0}]}' % self.item)
        self.refuse("POST", "/v1/orders", '{"items":[{"sku":"%s","quantity":1e0}]}' % self.item)
        self.refuse("POST", "/v1/orders", '{"items":[{"sku":"%s","quantity":01}]}' % self.item)
        self.refuse("POST", "/v1/orders", '{"items":[{"sku":"%s","quantity":NaN}]}' % self.item)

    def test_prices_and_stocks_that_are_none(self):
        for value in (-1, 1.5, 1.0, "1", None, True, [], {}, 2**63, 2**64, 10**30):
            self.refuse("PUT", f"/v1/skus/{name()}", {"title": "x", "price": value, "stock": 1})
            self.refuse("PUT", f"/v1/skus/{name()}", {"title": "x", "price": 1, "stock": value})
            self.refuse("PUT", f"/v1/skus/{self.item}", {"title": "x", "price": value})
        for value in (1.5, "1", None, True, [], {}, 2**63, 2**64, 10**30, -2**63, -2**63 - 1):
            self.refuse("POST", f"/v1/skus/{self.item}/stock", {"add": value}, (400, 409, 422))
        self.refuse("PUT", f"/v1/skus/{name()}", {"price": 1})
        self.refuse("PUT", f"/v1/skus/{name()}", {"title": "x"})
        self.refuse("PUT", f"/v1/skus/{name()}", {"title": 5, "price": 1})
        self.refuse("PUT", f"/v1/skus/{name()}", {"title": "x", "price": 1, "currency": "yuan"})
        self.refuse("PUT", f"/v1/skus/{name()}", {"title": "x", "price": 1, "currency": ""})
        self.refuse("PUT", f"/v1/skus/{name()}", {"title": "x", "price": 1, "currency": 156})

    def test_orders_with_fields_of_another_kind(self):
        for field, values in {"items": (None, {}, "x", 5, [5], [None], [[]], [{}], [{"sku": self.item}], [{"quantity": 1}],
                                        [{"sku": 5, "quantity": 1}], [{"sku": "", "quantity": 1}]),
                              "channel": (None, 5, "", "paypal", "ALIPAY", []), "buyer": (5, [], {}, True),
                              "policy": ("", 5, "never"), "merchant_order_no": (5, "", [], {}), "metadata": (5, "x", [], True),
                              "pay_within": ("5m", [], {}, -5)}.items():
            for value in values:
                self.refuse("POST", "/v1/orders", self.order_body(**{field: value}))
        for amount in WRONG_INTEGERS:
            if amount not in (2**31, 2**53 + 1, 2**63 - 1):
                self.refuse("POST", "/v1/orders", {"amount": amount, "subject": "x"})
        for body in ({"amount": 5, "subject": 5}, {"amount": 5, "subject": ""}, {"amount": 5, "subject": "x", "currency": "XYZ1"},
                     {"cart": 5}, {"cart": ""}, {"cart": None}):
            self.refuse("POST", "/v1/orders", body)

    def test_texts_without_end_are_refused(self):
        long = "x" * 60000
        self.refuse("PUT", f"/v1/skus/{name()}", {"title": long, "price": 1})
        for field in ("buyer", "merchant_order_no"):
            self.refuse("POST", "/v1/orders", self.order_body(**{field: long}))
        self.refuse("POST", "/v1/orders", {"amount": 5, "subject": long})
        self.refuse("POST", "/v1/orders", {"items": [{"sku": self.item, "quantity": 1}] * 1500})
        self.refuse("POST", f"/v1/orders/{self.order['id']}/cancel", {"note": long})
        self.refuse("POST", f"/v1/orders/{self.paid['id']}/refunds", {"reason": long})

    def test_refunds_of_nonsense(self):
        for amount in WRONG_INTEGERS:
            if amount is not None:
                self.refuse("POST", f"/v1/orders/{self.paid['id']}/refunds", {"amount": amount}, (400, 409, 422))
        self.refuse("POST", f"/v1/orders/{self.paid['id']}/refunds", {"amount": 301}, (409, 422))
        self.refuse("POST", f"/v1/orders/{self.order['id']}/refunds", {}, 409)
        self.refuse("POST", f"/v1/orders/{self.paid['id']}/refunds", {"amount": 1, "reason": 5})

    def test_ids_that_are_none(self):
        for bad in ("ord_", "ord_0", "x", "pay_" + self.order["id"][4:], self.order["id"] + "x", self.order["id"][:-1],
                    self.order["id"].upper(), "%00", "%0a", "..", "%2e%2e%2f", "%ff%fe", "a" * 3000, "'%20or%201=1--",
                    self.order["id"] + "%00", "%E8%8B%B9", "*", "%", "%zz"):
            for method, path in (("GET", f"/v1/orders/{bad}"), ("GET", f"/v1/orders/{bad}/timeline"),
                                 ("GET", f"/v1/orders/{bad}/refunds"), ("GET", f"/v1/orders/{bad}/qr.png"),
                                 ("GET", f"/v1/orders/{bad}/qr.svg"), ("POST", f"/v1/orders/{bad}/cancel"),
                                 ("POST", f"/v1/orders/{bad}/check"), ("POST", f"/v1/orders/{bad}/refunds")):
                self.refuse(method, path, b"{}" if method == "POST" else None, (400, 404, 414))

    def test_skus_and_carts_that_cannot_be_names(self):
        for bad in ("%00", "a%00b", "%0a", "%0d%0aX:1", "%ff", "%c0%af", "a" * 3000, "%", "%zz", "%1b[31m"):
            self.refuse("PUT", f"/v1/skus/{bad}", {"title": "x", "price": 1, "stock": 1}, (400, 404, 414, 422))
            self.refuse("PUT", f"/v1/carts/{bad}/items/{self.item}", {"quantity": 1}, (400, 404, 414, 422))
            self.refuse("GET", f"/v1/skus/{bad}", None, (400, 404, 414))

    def test_queries_that_are_none(self):
        for path in ("/v1/orders?state=", "/v1/orders?stat=paid", "/v1/orders?limit=5&limit=6", "/v1/orders?cursor=%ff",
                     "/v1/orders?cursor=" + "a" * 2000, "/v1/events?after=evt_x", "/v1/events?after=%00", "/v1/events?wait=x",
                     "/v1/events?wait=-1", "/v1/events?limit=0", "/v1/events?limit=1000", "/v1/events?after=" + self.order["id"]):
            self.refuse("GET", path, None, (400, 404, 410))

    def test_paths_that_do_not_exist(self):
        for path in ("/nothing", "/v1", "/v1/", "/v2/orders", "/v1/order", "/v1/orders/", f"/v1/orders/{self.order['id']}/nothing",
                     f"/v1/orders/{self.order['id']}/", "/v1/skus/", "//v1/orders", "/v1//orders", "/../etc/passwd",
                     "/%2e%2e/%2e%2e/etc/passwd", "/V1/ORDERS", "/notify/paypal", "/notify/", "/.git/config"):
            self.refuse("GET", path, None, 404, None)
        self.refuse("POST", "/notify/paypal", b"x", 404)

    def test_methods_that_do_not_exist(self):
        for path, methods in {"/v1/orders": "PUT DELETE PATCH", f"/v1/orders/{self.order['id']}": "PUT DELETE PATCH POST",
                              f"/v1/orders/{self.order['id']}/cancel": "GET PUT DELETE",
                              f"/v1/orders/{self.order['id']}/timeline": "POST DELETE",
                              f"/v1/orders/{self.order['id']}/qr.png": "POST PUT", "/v1/skus": "POST PUT DELETE",
                              f"/v1/skus/{self.item}": "POST DELETE PATCH", f"/v1/skus/{self.item}/stock": "GET PUT DELETE",
                              f"/v1/carts/{self.cart}": "POST PUT PATCH", f"/v1/carts/{self.cart}/items/{self.item}": "POST PATCH",
                              "/v1/events": "POST PUT DELETE", "/notify/alipay": "GET PUT DELETE", "/livez": "POST DELETE",
                              "/metrics": "POST", "/dev/clock": "PUT DELETE"}.items():
            for method in methods.split():
                with self.subTest(f"{method} {path}"):
                    answer = self.till.call(method, path, b"{}" if method != "GET" else None)
                    self.problem(answer, 405)
                    self.assertNotIn(method, answer.headers.get("Allow", method).replace(",", " ").split())

    def test_methods_nobody_knows(self):
        for method in ("TRACE", "CONNECT", "BREW", "get", "PROPFIND", "X" * 100):
            with self.subTest(method):
                out = raw(self.till.url, f"{method} /v1/orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                self.assertRegex(out[:12], rb"^HTTP/1\.[01] (400|405|501)")
                self.assertIn(b"application/problem+json", out)

    def test_a_body_of_64_kib_is_read_and_one_byte_more_is_not(self):
        body = json.dumps(self.order_body()).encode()
        body = body + b" " * (65536 - len(body))
        answer = self.till.call("POST", "/v1/orders/x", body)
        self.problem(answer, (404, 405))  # read to its end, whatever the path
        answer = self.till.call("POST", f"/v1/skus/{name()}/stock", b'{"add":1}' + b" " * (65536 - 9))
        self.problem(answer, 404)
        for door in self.doors + self.doors_empty_ok + (("POST", "/notify/alipay"),):
            with self.subTest(door):
                self.assertEqual(self.too_large(*door, body + b" "), 413)
                self.assertEqual(self.too_large(*door, b"x" * 1000000), 413)

    def too_large(self, method, path, body):
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        out = raw(self.till.url, head.encode() + body)
        self.assertTrue(out.startswith(b"HTTP/1.1 "), out[:100])
        if path != "/notify/alipay":
            self.assertIn(b"application/problem+json", out)
        self.assertNotIn(b"success", out)
        return int(out[9:12])

    def test_a_body_without_announced_length_is_bounded_too(self):
        chunk = b"2000\r\n" + b" " * 0x2000 + b"\r\n"
        out = raw(self.till.url, b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 100 + b"0\r\n\r\n")
        self.assertRegex(out[:12], rb"^HTTP/1.1 413")
        out = raw(self.till.url, b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{}")
        self.assertRegex(out[:12], rb"^HTTP/1.1 413")

    def test_headers_over_16_kib_are_431(self):
        for headers in (f"X-Long: {'x' * 17000}\r\n", "X-Many: 1234567890\r\n" * 1000):
            with self.subTest(headers[:20]):
                out = raw(self.till.url, f"GET /v1/skus HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
                self.assertRegex(out[:12], rb"^HTTP/1\.[01] 431")
                self.assertIn(b"application/problem+json", out)
        self.assertEqual(self.till.call("GET", "/livez", headers={"X-Long": "x" * 14000}).status, 200)

    def test_an_endless_path_is_refused(self):
        out = raw(self.till.url, b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertRegex(out[:12], rb"^HTTP/1\.[01] (404|414|431|400)")
        self.assertIn(b"application/problem+json", out)

    def test_requests_that_are_no_http(self):
        for data in (b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50,
                     b"GET /v1/skus HTTP/1.1\r\nHost x\r\n\r\n", b"GET /v1/skus HTTP/1.1\r\n: x\r\n\r\n",
                     b"PUT /v1/skus/q HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n{}",
                     b"PUT /v1/skus/q HTTP/1.1\r\nHost: x\r\nContent-Length: 0x2\r\n\r\n{}",
                     b"PUT /v1/skus/q HTTP/1.1\r\nHost: x\r\nContent-Length: two\r\n\r\n{}",
                     b"PUT /v1/skus/q HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n{}",
                     b"PUT /v1/skus/q HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n",
                     b"GET /v1/skus HTTP/1.1\r\nHost: x\r\nX-Null: a\0b\r\n\r\n"):
            with self.subTest(data[:60]):
                out = raw(self.till.url, data, timeout=2)
                self.assertNotRegex(out[:12], rb"^HTTP/1\.[01] (2|500)")

    def test_two_hundred_silent_callers_stand_in_nobody_s_way(self):
        port = int(self.till.url.rsplit(":", 1)[1])
        with contextlib.ExitStack() as stack:
            for i in range(200):
                s = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
                s.sendall((b"", b"GET /v1/sk", b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{")[i % 3])
            begin = time.monotonic()
            self.assertEqual(self.till.call("GET", f"/v1/skus/{self.item}").status, 200)
            self.assertLess(time.monotonic() - begin, 1.0)

    def test_no_request_is_smuggled_behind_another(self):
        sku = name("canary")
        inner = (f"PUT /v1/skus/{sku} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 23\r\n\r\n"
                 '{"title":"x","price":1}').encode()
        for what, data in {
                "both lengths": b"POST /v1/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
                "two lengths": b"POST /v1/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner,
                "a length with a plus": b"POST /v1/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: +0\r\n\r\n" + inner,
                "a space before the colon": b"POST /v1/nothing HTTP/1.1\r\nHost: x\r\nContent-Length : %d\r\n\r\n" % len(inner) + inner,
                "a chunked of another kind": b"POST /v1/nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n" + inner,
        }.items():
            with self.subTest(what):
                out = raw(self.till.url, data, timeout=2)
                self.assertEqual(out.count(b"HTTP/1.1 "), 1, out[:600])
                self.assertEqual(self.till.call("GET", f"/v1/skus/{sku}").status, 404, "the canary was sung")


class Overflow(Case):
    """Sums beyond what an integer holds: refused, and nothing held. The SKUs here are made, so state is watched by hand."""

    def huge(self, price):
        sku = name()
        answer = self.till.call("PUT", f"/v1/skus/{sku}", {"title": "dear", "price": price, "stock": 1000000})
        self.assertIn(answer.status, (201, 400, 422), repr(answer))
        return sku if answer.status == 201 else None

    def test_a_sum_that_overflows_is_refused(self):
        tried = 0
        for price in (2**31 - 1, 2**31, 10**10, 10**11, 10**12, 2**53 - 1, 2**53, 2**62, 2**63 - 1):
            sku = self.huge(price)
            if not sku:
                continue
            for quantity in (1, 2, 3, 1000, 9999, 100000, 1000000):
                answer = self.till.call("POST", "/v1/orders", {"items": [{"sku": sku, "quantity": quantity}], "channel": "any"})
                tried += 1
                with self.subTest(price=price, quantity=quantity):
                    if answer.status == 201:
                        self.assertEqual(answer.json["amount"], price * quantity)
                        self.assertLess(price * quantity, 2**63)
                        gone = self.till.call("POST", f"/v1/orders/{answer.json['id']}/cancel", {})
                        self.assertEqual(gone.status, 200, repr(gone))
                        self.till.until(answer.json["id"], "cancelled")
                    else:
                        self.problem(answer, (400, 409, 422))
                    self.assert_stock(sku, 1000000, 0, 0)
        self.assertGreater(tried, 0)

    def test_a_sum_over_lines_that_overflows_is_refused(self):
        skus = [s for s in (self.huge(2**53 - 1), self.huge(2**62), self.huge(2**62), self.huge(10**10)) if s]
        if not skus:
            return  # such prices are refused to begin with
        items = [{"sku": s, "quantity": 9999} for s in skus]
        self.problem(self.till.call("POST", "/v1/orders", {"items": items}), (400, 409, 422))
        cart = name("cart")
        for s in skus:
            self.till.call("PUT", f"/v1/carts/{cart}/items/{s}", {"quantity": 9999})
        self.assertLess(self.till.call("GET", f"/v1/carts/{cart}").status, 500)
        for s in skus:
            self.assert_stock(s, 1000000, 0, 0)

    def test_stock_that_overflows_is_refused(self):
        sku = self.till.sku(stock=5)
        total = 5
        for add in (2**31 - 1, 2**53, 2**62, 2**62, 2**62, 2**63 - 1, 2**63 - 6):
            answer = self.till.call("POST", f"/v1/skus/{sku}/stock", {"add": add})
            self.assertLess(answer.status, 500, repr(answer))
            if answer.status < 300:
                total += add
            self.assertEqual(self.till.stock(sku)[0], total)


class Notifications(Case):
    """Genuine notifications are caught on their way, and sent on altered, forged, repeated, or to the wrong shop."""

    @classmethod
    def setUpClass(cls):
        cls.recorder = Recorder()
        cls.addClassCleanup(cls.recorder.close)
        cls.PUBLIC_URL = cls.recorder.url
        super().setUpClass()
        cls.recorder.target = cls.till.url

    def setUp(self):
        super().setUp()
        self.recorder.forward, self.n_refused = False, 0
        self.sku = self.till.sku()
        self.order = self.till.place(self.sku, 2)
        self.till.scan_and_pay(self.order)
        number = self.order["payment"]["out_trade_no"]
        self.path, self.headers, self.notice, _, _ = wait_for(lambda: self.recorder.of(number), 3, "a notification")[0]
        self.fields = dict(parse_qsl(self.notice.decode(), keep_blank_values=True))

    def send(self, body, path=None, headers=None):
        if isinstance(body, dict):
            body = urlencode(body)
        if isinstance(body, str):
            body = body.encode()
        return self.till.call("POST", path or self.path, body, headers or self.headers)

    def refused(self, body, what):
        self.n_refused += 1
        with self.subTest(what):
            answer = self.send(body)
            self.assertNotEqual(answer.body.strip().lower(), b"success", repr(answer))
            self.assertLess(answer.status, 500, repr(answer))
            self.assertEqual(self.till.order(self.order["id"])["state"], "awaiting_payment")

    def genuine(self):
        answer = self.send(self.notice)
        self.assertEqual((answer.status, answer.body), (200, b"success"), repr(answer))

    def test_the_address_is_the_public_one(self):
        self.assertEqual(self.path, "/notify/alipay")
        self.assertEqual(self.order["pay_url"], f"{self.recorder.url}/pay/{self.order['id']}")
        self.genuine()
        self.assertEqual(self.till.order(self.order["id"])["state"], "paid")

    def test_row_16_an_altered_notification_changes_nothing(self):
        before, counted = self.till.snapshot(), self.till.notices_refused()
        for field, value in {"total_amount": "0.01", "receipt_amount": "0.01", "out_trade_no": "someone_elses_1",
                             "trade_status": "TRADE_FINISHED", "app_id": "2021000000000000", "seller_id": "2088000000000000",
                             "trade_no": "2026000000000000", "sign": "AAAA", "notify_id": "x"}.items():
            self.refused(dict(self.fields, **{field: value}), field)
        self.refused({k: v for k, v in self.fields.items() if k != "sign"}, "no sign")
        self.refused(dict(self.fields, sign=""), "an empty sign")
        self.refused({k: v for k, v in self.fields.items() if k not in ("sign", "sign_type")}, "no sign, no sign_type")
        self.refused(dict(self.fields, sign=base64.b64encode(os.urandom(256)).decode()), "a random sign")
        self.refused(dict(self.fields, extra="1"), "one field more")
        self.refused({k: v for k, v in self.fields.items() if k != "total_amount"}, "one field less")
        self.refused(self.notice + b"&total_amount=0.01", "a field twice")
        self.refused(b"total_amount=0.01&" + self.notice, "a field twice, in front")
        for kind in ("RSA", "MD5", "none", ""):
            self.refused(dict(self.fields, sign_type=kind, sign=base64.b64encode(b"x").decode()), f"sign_type {kind}")
        flipped = bytearray(base64.b64decode(self.fields["sign"]))
        flipped[10] ^= 1
        self.refused(dict(self.fields, sign=base64.b64encode(bytes(flipped)).decode()), "one bit of the sign")
        self.unchanged(before)
        self.assertEqual(self.till.notices_refused() - counted, self.n_refused)
        self.genuine()
        self.assertEqual(self.till.order(self.order["id"])["state"], "paid")

    def test_what_is_no_notification_changes_nothing(self):
        before = self.till.snapshot()
        for what, body in {"nothing": b"", "an ampersand": b"&", "only equals": b"===&&&===", "json": b'{"trade_status":"TRADE_SUCCESS"}',
                           "xml": b"<xml><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>&b;</xml>", "NULs": b"\0" * 50,
                           "bad percent": b"sign=%zz&sign_type=RSA2&out_trade_no=%", "bad UTF-8": b"sign=\xff&out_trade_no=\xfe",
                           "many fields": b"&".join(b"a%d=1" % i for i in range(5000)),
                           "a huge sign": b"sign=" + b"A" * 60000 + b"&sign_type=RSA2&out_trade_no=x"}.items():
            self.refused(body, what)
        self.unchanged(before)
        self.genuine()

    def test_row_16_a_notification_signed_with_another_key_changes_nothing(self):
        before = self.till.snapshot()
        with tempfile.TemporaryDirectory(prefix="till-key-") as folder:
            key = os.path.join(folder, "key.pem")
            subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            text = "&".join(f"{k}={v}" for k, v in sorted(self.fields.items()) if k not in ("sign", "sign_type"))
            signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=text.encode(), check=True, stdout=subprocess.PIPE)
        self.refused(dict(self.fields, sign=base64.b64encode(signed.stdout).decode()), "another key")
        self.unchanged(before)
        self.genuine()

    def test_a_genuine_notification_repeated_changes_nothing_more(self):
        self.genuine()
        self.till.until(self.order["id"], "paid", 1.0)
        order, events = self.till.order(self.order["id"]), self.till.events(self.order["id"])
        for answer in at_once(*[lambda: self.send(self.notice)] * 20):
            self.assertEqual((answer.status, answer.body), (200, b"success"))
        self.assertEqual(self.till.order(self.order["id"]), order)
        self.assertEqual(self.till.events(self.order["id"]), events)
        self.assert_stock(self.sku, 8, 0, 2)

    def test_row_16_the_sandbox_s_forgeries_change_nothing_and_its_word_still_counts(self):
        order = self.till.place(self.sku, 1)
        self.till.faults(notify={"forge": True})
        self.addCleanup(self.till.no_faults)
        self.till.scan_and_pay(order)
        number = order["payment"]["out_trade_no"]
        notices = wait_for(lambda: (lambda n: n if len(n) > 1 else None)(self.recorder.of(number)), 3, "a forgery and the real one")
        accepted = 0
        for _, headers, body, _, _ in notices:
            before = self.till.order(order["id"])
            if self.send(body, headers=headers).body == b"success":
                accepted += 1
            else:
                self.assertEqual(self.till.order(order["id"]), before, "a forgery was believed")
        self.assertTrue(0 < accepted < len(notices), f"{accepted} of {len(notices)} accepted")
        self.assertEqual(self.till.order(order["id"])["paid_amount"], 100)
        self.assert_lived_well(order["id"])

    def test_the_notification_of_another_shop_changes_nothing(self):
        other = Till(public_url=self.recorder.url, stranger=True).start()
        self.addCleanup(other.clean)
        theirs = other.place(other.sku(), 2)
        other.scan_and_pay(theirs)
        notice = wait_for(lambda: self.recorder.of(theirs["payment"]["out_trade_no"]), 3, "their notification")[0][2]
        before = self.till.snapshot()
        self.refused(notice, "another shop's")
        self.unchanged(before)
        self.assertEqual(other.stop()[0], 0)


class TwoShopsOneProvider(unittest.TestCase):
    """`till sandbox` with two `till serve`: a notice that is genuine but of a number this shop never gave, and shops that
    are somebody else."""

    def serve(self, folder, keys, **alipay):
        (port,) = free_ports(1)
        with open(os.path.join(keys, "sandbox.json"), encoding="utf-8") as f:
            known = json.load(f)
        config = dict({"gateway": f"{self.sandbox}/gateway.do", "app_id": known["app_id"], "seller_id": known["seller_id"],
                       "private_key_file": os.path.join(keys, "app_private_key.pem"),
                       "alipay_public_key_file": os.path.join(keys, "alipay_public_key.pem")}, **alipay)
        args = ["serve", "--listen", f"127.0.0.1:{port}", "--store.url", f"sqlite:{folder}/{port}.db",
                "--server.public_url", self.recorder.url]
        for k, v in config.items():
            args += [f"--alipay.{k}", v]
        url = f"http://127.0.0.1:{port}"
        server = Process(args, (url, "/readyz"), os.path.join(folder, f"{port}.log"))
        self.addCleanup(server.kill)
        server.start()
        return url, server

    def test_whose_notification_is_it(self):
        self.recorder = Recorder()
        self.addCleanup(self.recorder.close)
        folder = tempfile.TemporaryDirectory(prefix="till-two-")
        self.addCleanup(folder.cleanup)
        (port,) = free_ports(1)
        self.sandbox = f"http://127.0.0.1:{port}"
        keys = os.path.join(folder.name, "keys")
        gateway = Process(["sandbox", "--listen", f"127.0.0.1:{port}", "--keys", keys], (self.sandbox, "/wallet/ledger"),
                          os.path.join(folder.name, "sandbox.log"))
        self.addCleanup(gateway.kill)
        gateway.start()
        url, ours = self.serve(folder.name, keys)
        answer = call(url, "POST", "/v1/orders", {"amount": 500, "subject": "soup", "channel": "alipay"})
        self.assertEqual(answer.status, 201, repr(answer))
        order = answer.json
        self.assertEqual(order["state"], "awaiting_payment")
        for path in ("/wallet/scan", "/wallet/pay"):
            self.assertEqual(call(self.sandbox, "POST", path, {"code": order["payment"]["qr_code"]}).status, 200)
        path, headers, notice, _, _ = wait_for(lambda: self.recorder.of(order["payment"]["out_trade_no"]), 3, "a notification")[0]

        neighbour, n = self.serve(folder.name, keys)
        answer = call(neighbour, "POST", path, notice, headers)
        self.assertEqual((answer.status, answer.body), (200, b"success"), "genuine, ours, unknown number: kept as a case")
        self.assertEqual(call(neighbour, "GET", "/v1/orders").json["data"], [])
        for what, config in {"another seller": {"seller_id": "2088999999999999"}, "another app": {"app_id": "2021999999999999"}}.items():
            with self.subTest(what):
                stranger, s = self.serve(folder.name, keys, **config)
                answer = call(stranger, "POST", path, notice, headers)
                self.assertNotEqual(answer.body.strip().lower(), b"success", repr(answer))
                self.assertLess(answer.status, 500)
                self.assertEqual(call(stranger, "GET", "/v1/orders").json["data"], [])
                self.assertEqual(s.stop()[0], 0)
        answer = call(url, "POST", path, notice, headers)
        self.assertEqual((answer.status, answer.body), (200, b"success"))
        self.assertEqual(call(url, "GET", f"/v1/orders/{order['id']}").json["state"], "paid")
        for server in (n, ours, gateway):
            self.assertEqual(server.stop()[0], 0)


class Logs(Case):
    FLAGS = ("--log.level", "debug")

    def test_nothing_sent_can_pass_for_a_log_line(self):
        till, lie = self.till, f"\n{CANARY} level=info msg=\"all is well\"\r\n{CANARY}{ANSI}"
        web = quote(lie, safe="")
        sku = till.sku(title="x" )
        till.call("PUT", f"/v1/skus/{name()}", {"title": lie, "price": 1, "stock": 5})
        for path in (f"/{web}", f"/v1/orders/{web}", f"/v1/orders?state={web}", f"/v1/skus/{web}", f"/v1/events?after={web}"):
            till.call("GET", path)
        for body in ({"items": [{"sku": lie, "quantity": 1}]}, {"items": [{"sku": sku, "quantity": 1}], lie: 1},
                     {"items": [{"sku": sku, "quantity": 1}], "buyer": lie, "channel": "any"},
                     {"items": [{"sku": sku, "quantity": 1}], "metadata": {lie: lie}, "channel": "any"},
                     {"items": [{"sku": sku, "quantity": 1}], "merchant_order_no": lie, "channel": "any"},
                     {"amount": 5, "subject": lie, "channel": "alipay"}, {"cart": lie}, {"policy": lie}):
            till.call("POST", "/v1/orders", body)
        order = till.place(sku, 1, channel="any")
        till.call("POST", f"/v1/orders/{order['id']}/cancel", {"reason": "buyer", "note": lie})
        till.call("POST", f"/v1/orders/{order['id']}/cancel", {"reason": lie})
        till.call("POST", "/v1/orders", lie)
        till.call("POST", "/dev/clock", {"advance": lie})
        form = urlencode({"out_trade_no": lie, "trade_status": lie, "sign": lie, "sign_type": "RSA2", "app_id": lie, "notify_id": lie})
        till.call("POST", "/notify/alipay", form, {"Content-Type": "application/x-www-form-urlencoded"})
        for head in (f"GET /v1/skus HTTP/1.1\r\nHost: {CANARY}{ANSI}\r\nUser-Agent: {ANSI}\r\nIdempotency-Key: {ANSI}\r\n\r\n",
                     f"GET /\n{CANARY} HTTP/1.1\r\nHost: x\r\n\r\n", f"{CANARY}{ANSI} / HTTP/1.1\r\n\r\n",
                     f"GET /{ANSI} HTTP/1.1\r\nHost: x\r\n\r\n", f"GET / HTTP/1.1\r\nHost: x\r\nA: b\n {CANARY}\r\n\r\n"):
            raw(till.url, head.encode(), timeout=1)
            raw(till.sandbox, head.encode(), timeout=1)
        for path in ("/wallet/scan", "/wallet/pay"):
            till.wallet("POST", path, {"code": lie})
        log = till.log()
        self.assertEqual(re.findall(rb"[\x00-\x08\x0b-\x1f\x7f]", log), [], "control characters in the log")
        for line in log.split(b"\n"):
            self.assertFalse(line.startswith(CANARY.encode()), line)
        log.decode("utf-8")


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""Idempotency-Key: one effect and one answer, however often and however concurrently a request is repeated."""
import json
import threading
import time
import unittest

from harness import Case, Till, at_once, name


def key(text=None):
    return {"Idempotency-Key": text or name("key")}


class Idempotency(Case):
    def body(self, sku, quantity=2, channel="alipay"):
        return json.dumps({"items": [{"sku": sku, "quantity": quantity}], "channel": channel})

    def assert_replayed(self, first, second):
        self.assertEqual((second.status, second.body), (first.status, first.body))
        self.assertEqual(second.headers.get("Idempotent-Replayed"), "true")
        self.assertEqual(second.headers["Content-Type"], first.headers["Content-Type"])

    def test_the_same_key_and_body_give_the_first_answer_again(self):
        sku, k = self.till.sku(), key()
        first = self.till.call("POST", "/v1/orders", self.body(sku), k)
        self.assertEqual(first.status, 201, repr(first))
        self.assertIsNone(first.headers.get("Idempotent-Replayed"))
        self.assert_replayed(first, self.till.call("POST", "/v1/orders", self.body(sku), k))
        self.assert_stock(sku, 8, 2, 0)

    def test_the_first_answer_stays_the_first_when_the_order_has_moved_on(self):
        sku, k = self.till.sku(), key()
        first = self.till.call("POST", "/v1/orders", self.body(sku), k)
        self.till.scan_and_pay(first.json)
        self.till.until(first.json["id"], "paid", 1.0)
        self.assert_replayed(first, self.till.call("POST", "/v1/orders", self.body(sku), k))
        self.assert_stock(sku, 8, 0, 2)

    def test_another_body_under_the_key_is_refused(self):
        sku, k = self.till.sku(), key()
        self.till.good("POST", "/v1/orders", self.body(sku), (201,), k)
        for other in (self.body(sku, 1), self.body(sku, 2, "any"), self.body(sku) + " "):
            with self.subTest(other):
                self.problem(self.till.call("POST", "/v1/orders", other, k), 422, "idempotency_key_reused")
        self.assert_stock(sku, 8, 2, 0)

    def test_another_key_is_another_order(self):
        sku = self.till.sku()
        ids = {self.till.good("POST", "/v1/orders", self.body(sku), (201,), key())["id"] for _ in range(2)}
        self.assertEqual(len(ids), 2)
        self.assert_stock(sku, 6, 4, 0)

    def test_a_key_is_scoped_to_the_path(self):
        a, b, k = self.till.sku(), self.till.sku(), key()
        order = self.till.good("POST", "/v1/orders", self.body(a), (201,), k)
        self.till.good("POST", f"/v1/skus/{a}/stock", {"add": 5}, (200, 201), k)
        self.till.good("POST", f"/v1/skus/{b}/stock", {"add": 5}, (200, 201), k)
        self.till.good("POST", f"/v1/orders/{order['id']}/cancel", {}, (200,), k)
        self.assertEqual(self.till.stock(b), (15, 0, 0))

    def test_only_success_is_remembered(self):
        sku, k = self.till.sku(stock=1), key()
        self.problem(self.till.call("POST", "/v1/orders", self.body(sku), k), 409, "insufficient_stock")
        self.till.good("POST", f"/v1/skus/{sku}/stock", {"add": 5})
        again = self.till.call("POST", "/v1/orders", self.body(sku), k)
        self.assertEqual(again.status, 201, repr(again))
        self.assertIsNone(again.headers.get("Idempotent-Replayed"))
        self.assert_stock(sku, 4, 2, 0)

    def test_a_refused_body_does_not_use_up_the_key(self):
        sku, k = self.till.sku(), key()
        self.problem(self.till.call("POST", "/v1/orders", "{", k), 400)
        self.problem(self.till.call("POST", "/v1/orders", self.body(name("nothing")), k), 422, "unknown_sku")
        self.till.good("POST", "/v1/orders", self.body(sku), (201,), k)

    def test_a_request_under_way_answers_409(self):
        sku, k = self.till.sku(), key()
        self.till.faults(gateway={"delay_ms": [1500, 1500]})
        self.addCleanup(self.till.no_faults)
        answers = []
        first = threading.Thread(target=lambda: answers.append(self.till.call("POST", "/v1/orders", self.body(sku), k)))
        first.start()
        time.sleep(0.6)
        second = self.till.call("POST", "/v1/orders", self.body(sku), k)
        other = self.till.call("POST", "/v1/orders", self.body(sku, 1), k)
        first.join(10)
        self.problem(second, 409, "idempotency_in_progress")
        self.problem(other, (409, 422), ("idempotency_in_progress", "idempotency_key_reused"))
        self.assertEqual(answers[0].status, 201, repr(answers))
        self.assert_replayed(answers[0], self.till.call("POST", "/v1/orders", self.body(sku), k))
        self.assert_stock(sku, 8, 2, 0)

    def test_many_at_once_are_one_order(self):
        for channel in ("any", "alipay"):
            with self.subTest(channel):
                sku, k = self.till.sku(), key()
                answers = at_once(*[lambda: self.till.call("POST", "/v1/orders", self.body(sku, 1, channel), k)] * 8)
                made = [a for a in answers if a.status == 201]
                self.assertTrue(made, answers)
                for a in answers:
                    if a.status != 201:
                        self.problem(a, 409, "idempotency_in_progress")
                self.assertEqual(len({a.body for a in made}), 1)
                self.assertEqual(len([a for a in made if not a.headers.get("Idempotent-Replayed")]), 1)
                self.assert_stock(sku, 9, 1, 0)

    def test_restocking_under_a_key_adds_once(self):
        sku, k = self.till.sku(stock=1), key()
        first = self.till.call("POST", f"/v1/skus/{sku}/stock", '{"add":50}', k)
        self.assert_replayed(first, self.till.call("POST", f"/v1/skus/{sku}/stock", '{"add":50}', k))
        self.assert_stock(sku, 51, 0, 0)

    def test_many_restocks_at_once_under_a_key_add_once(self):
        sku, k = self.till.sku(stock=1), key()
        at_once(*[lambda: self.till.call("POST", f"/v1/skus/{sku}/stock", '{"add":50}', k)] * 8)
        self.assert_stock(sku, 51, 0, 0)

    def test_a_refund_under_a_key_is_paid_out_once(self):
        sku, k = self.till.sku(price=100), key()
        order = self.till.place(sku, 2)
        self.till.scan_and_pay(order)
        self.till.until(order["id"], "paid", 1.0)
        refunded = self.till.ledger()["refunded"]
        path = f"/v1/orders/{order['id']}/refunds"
        first = self.till.call("POST", path, '{"amount":50}', k)
        self.assertEqual(first.status, 201, repr(first))
        self.assert_replayed(first, self.till.call("POST", path, '{"amount":50}', k))
        self.problem(self.till.call("POST", path, '{"amount":60}', k), 422, "idempotency_key_reused")
        time.sleep(0.3)
        self.assertEqual(self.till.order(order["id"])["refunded_amount"], 50)
        self.assertEqual(self.till.ledger()["refunded"], refunded + 50)
        self.assertEqual(len(self.till.refunds(order["id"])), 1)

    def test_a_cancel_under_a_key_is_replayed(self):
        order = self.till.place(self.till.sku(), 1, channel="any")
        k, path = key(), f"/v1/orders/{order['id']}/cancel"
        first = self.till.call("POST", path, '{"reason":"buyer"}', k)
        self.assertEqual(first.status, 200, repr(first))
        self.assert_replayed(first, self.till.call("POST", path, '{"reason":"buyer"}', k))

    def test_an_odd_key_is_refused_or_kept_word_for_word(self):
        for text in ("k" * 255, "k" * 256, "k" * 5000, "a b", "\"quoted\"", "k%0a", "k\tk", "k\x7f", "k\xff"):
            with self.subTest(text[:20]):
                sku, k = self.till.sku(), {"Idempotency-Key": text}
                first = self.till.call("POST", "/v1/orders", self.body(sku, 1, "any"), k)
                second = self.till.call("POST", "/v1/orders", self.body(sku, 1, "any"), k)
                if first.status == 201:
                    self.assert_replayed(first, second)
                    self.assert_stock(sku, 9, 1, 0)
                else:
                    self.problem(first, 400)
                    self.problem(second, 400)
                    self.assert_stock(sku, 10, 0, 0)

    def test_an_empty_key_never_joins_two_requests(self):
        sku = self.till.sku()
        answers = [self.till.call("POST", "/v1/orders", self.body(sku, 1, "any"), {"Idempotency-Key": ""}) for _ in range(2)]
        for a in answers:
            self.assertIn(a.status, (201, 400), repr(a))
            self.assertIsNone(a.headers.get("Idempotent-Replayed"))
        self.assertEqual(answers[0].status, answers[1].status)

    def test_long_keys_that_differ_at_the_end_are_different(self):
        sku = self.till.sku()
        base = "k" * 254
        answers = [self.till.call("POST", "/v1/orders", self.body(sku, 1, "any"), {"Idempotency-Key": base + end}) for end in "ab"]
        if answers[0].status == 201:
            self.assertNotEqual(answers[0].json["id"], answers[1].json["id"])


class IdempotencyAcrossTime(unittest.TestCase):
    def test_a_key_lives_a_day_and_outlives_kill_9(self):
        till = Till().start()
        self.addCleanup(till.clean)
        sku, k = till.sku(), key()
        body = json.dumps({"items": [{"sku": sku, "quantity": 2}], "channel": "any"})
        first = till.call("POST", "/v1/orders", body, k)
        self.assertEqual(first.status, 201, repr(first))
        till.kill()
        till.restart()
        again = till.call("POST", "/v1/orders", body, k)
        self.assertEqual((again.status, again.json["id"]), (201, first.json["id"]), repr(again))
        self.assertEqual(again.headers.get("Idempotent-Replayed"), "true")
        other = till.call("POST", "/v1/orders", body + " ", k)
        self.assertEqual((other.status, other.json["code"]), (422, "idempotency_key_reused"))
        self.assertEqual(till.stock(sku), (8, 2, 0))
        till.advance("23h")
        again = till.call("POST", "/v1/orders", body, k)
        self.assertEqual((again.status, again.json["id"]), (201, first.json["id"]), "keys live at least 24 h")
        self.assertEqual(till.stock(sku), (10, 0, 0), "timed out meanwhile, and not placed again")
        self.assertEqual(till.stop()[0], 0)


if __name__ == "__main__":
    unittest.main()

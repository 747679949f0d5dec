# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments under load: what was answered with 2xx is there, with the same content, and the books hold."""
import http.client
import json
import os
import random
import signal
import threading
import time
import unittest

from harness import Till, at_once, call, name

CLIENTS, ORDERS, KILLS = 4, 1000, 5
KEPT = ("id", "items", "amount", "currency", "created_at", "expires_at", "pay_url", "policy", "buyer", "metadata",
        "merchant_order_no")


class KillNine(unittest.TestCase):
    def test_a_thousand_orders_through_kill_9(self):
        till = Till().start()
        self.addCleanup(till.clean)
        skus = [till.sku(stock=5000, price=11 * (i + 1)) for i in range(4)]
        seed = int(os.environ.get("TILL_TEST_SEED") or random.SystemRandom().randrange(10**6))
        dice = random.Random(seed)
        print(f"\nTILL_TEST_SEED={seed}", flush=True)
        answered, paid, unknown, lock, over = {}, [], [], threading.Lock(), threading.Event()
        killing = threading.Lock()  # nobody restarts while someone kills; clients do not take it

        def until_back():
            end = time.monotonic() + 20
            while time.monotonic() < end:
                try:
                    if call(till.url, "GET", "/readyz", timeout=2).status == 200:
                        return
                except (OSError, http.client.HTTPException):
                    time.sleep(0.02)
            raise AssertionError("the server did not come back")

        def client(number):
            mine = random.Random(seed * 100 + number)
            for i in range(ORDERS // CLIENTS):
                sku, quantity = mine.choice(skus), mine.randint(1, 3)
                body = json.dumps({"items": [{"sku": sku, "quantity": quantity}], "buyer": f"b{number}",
                                   "channel": "alipay" if mine.random() < 0.2 else "any", "metadata": {"n": str(i)},
                                   "merchant_order_no": name("m")})
                headers = {"Idempotency-Key": name("k")}
                for attempt in range(40):
                    try:
                        answer = call(till.url, "POST", "/v1/orders", body, headers)
                    except (OSError, http.client.HTTPException):
                        until_back()  # unknown: ask again with the same key
                        continue
                    if answer.status in (409, 503) and answer.json["code"] != "insufficient_stock":
                        time.sleep(0.05)
                        continue
                    break
                assert answer.status in (200, 201), repr(answer)
                order = answer.json
                with lock:
                    answered[order["id"]] = (order, sku, quantity)
                code = order.get("payment", {}).get("qr_code")
                if code and mine.random() < 0.7:
                    try:
                        call(till.sandbox, "POST", "/wallet/scan", {"code": code})
                        done = call(till.sandbox, "POST", "/wallet/pay", {"code": code})
                        if done.status == 200:
                            with lock:
                                paid.append(order["id"])
                        else:
                            unknown.append(order["id"])
                    except (OSError, http.client.HTTPException):
                        unknown.append(order["id"])
                        until_back()

        def reaper():
            for _ in range(KILLS):
                before = len(answered)
                wanted = before + dice.randint(60, 180)
                while len(answered) < wanted and not over.is_set():
                    time.sleep(0.001)
                if over.is_set():
                    return 0
                time.sleep(dice.random() * 0.02)
                with killing:
                    till.kill()
                    till.restart()
            return KILLS

        def clients():
            try:
                at_once(*[lambda n=n: client(n) for n in range(CLIENTS)])
            finally:
                over.set()

        _, kills = at_once(clients, reaper)
        self.assertEqual(kills, KILLS)
        self.assertEqual(len(answered), ORDERS)

        till.kill()  # once more, with nothing under way
        till.restart()
        listed = {o["id"]: o for o in till.all("/v1/orders")}
        for order_id, (order, sku, quantity) in answered.items():
            now = listed.get(order_id)
            self.assertIsNotNone(now, f"{order_id} was answered and is gone")
            for field in KEPT:
                self.assertEqual(now.get(field), order.get(field), f"{field} of {order_id}")
            if "payment" in order:
                self.assertEqual(now["payment"]["out_trade_no"], order["payment"]["out_trade_no"])
                if "qr_code" in order["payment"]:
                    self.assertEqual(now["payment"]["qr_code"], order["payment"]["qr_code"])
        self.assertEqual(set(listed), set(answered), "a key or number tried again made a second order")

        deadline = time.monotonic() + 20
        for _ in range(12):  # check-backs find what a lost notification hid
            if till.advance("2m", settled=False)["settled"] or time.monotonic() > deadline:
                break
        till.advance("20m", settled=False)
        till.advance("1s", settled=True)
        states = {o["id"]: o for o in till.all("/v1/orders")}
        for order_id in paid:
            self.assertEqual(states[order_id]["state"], "paid", f"{order_id} was paid")
        self.assertLessEqual({o["state"] for o in states.values()}, {"paid", "cancelled"})
        for sku in skus:
            available, held, sold = till.stock(sku)
            took = sum(q for i, (_, s, q) in answered.items() if s == sku and states[i]["state"] == "paid")
            self.assertEqual((available, held, sold), (5000 - took, 0, took))
        captured = till.ledger()
        self.assertEqual(captured["captured"] - captured["refunded"],
                         sum(o["paid_amount"] - o["refunded_amount"] for o in states.values() if o["state"] == "paid"))
        sequences = {}
        for e in till.events():
            sequences.setdefault(e["order"], []).append(e["sequence"])
        for order_id in answered:
            self.assertEqual(sequences[order_id], list(range(1, len(sequences[order_id]) + 1)))
        status, out, err = till.audit()
        self.assertEqual(status, 0, f"{out} {err}")
        self.assertEqual(till.stop()[0], 0)

    def test_every_kind_of_2xx_survives(self):
        till = Till().start()
        self.addCleanup(till.clean)
        cart, a, b = name("cart"), till.sku(stock=9), till.sku(stock=9)
        till.good("PUT", f"/v1/carts/{cart}/items/{a}", {"quantity": 2})
        done = till.good("POST", f"/v1/skus/{a}/stock", {"add": 5})
        till.kill()
        till.restart()
        self.assertEqual(till.good("GET", f"/v1/skus/{a}"), done)
        self.assertEqual(till.good("GET", f"/v1/carts/{cart}")["items"][0]["quantity"], 2)

        order = till.place(cart=cart)
        till.kill()
        till.restart()
        self.assertEqual(till.good("GET", f"/v1/carts/{cart}")["items"], [])
        self.assertEqual(till.order(order["id"])["payment"]["qr_code"], order["payment"]["qr_code"])
        self.assertEqual(till.stock(a), (12, 2, 0))

        other = till.place(b, 1)
        till.good("POST", f"/v1/orders/{other['id']}/cancel", {"reason": "buyer"}, (200,))
        till.kill()
        till.restart()
        self.assertEqual(till.order(other["id"])["state"], "closing")
        self.assertEqual(till.order(other["id"])["reason"], "buyer")

        till.scan_and_pay(order)
        till.until(order["id"], "paid", 1.5)
        refund = till.good("POST", f"/v1/orders/{order['id']}/refunds", {"amount": 7}, (201,))
        till.kill()
        till.restart()
        till.advance("30m", settled=False)
        self.assertEqual([(r["id"], r["amount"]) for r in till.refunds(order["id"])], [(refund["id"], 7)])
        self.assertEqual(till.order(order["id"])["refunded_amount"], 7)
        self.assertEqual(till.ledger()["refunded"], 7)
        self.assertEqual(till.order(other["id"])["state"], "cancelled")
        self.assertEqual(till.stock(b), (9, 0, 0))
        status, out, err = till.audit()
        self.assertEqual(status, 0, f"{out} {err}")
        self.assertEqual(till.stop()[0], 0)

    def test_paid_and_killed_in_the_same_breath(self):
        till = Till().start()
        self.addCleanup(till.clean)
        sku, dice = till.sku(stock=100), random.Random(3)
        orders = []
        for _ in range(6):
            order = till.place(sku, 1)
            till.scan_and_pay(order)
            time.sleep(dice.random() * 0.02)
            till.kill()
            till.restart()
            orders.append(order["id"])
        till.advance("2m", settled=False)
        for it in orders:
            self.assertEqual(till.until(it, "paid", 5)["paid_amount"], 100)
        self.assertEqual(till.stock(sku), (94, 0, 6))
        status, out, err = till.audit()
        self.assertEqual(status, 0, f"{out} {err}")
        self.assertEqual(till.stop()[0], 0)

    def test_killed_while_it_starts(self):
        till = Till().start()
        self.addCleanup(till.clean)
        sku = till.sku(stock=10)
        order = till.place(sku, 2)
        till.kill()
        for pause in (0, 0.005, 0.01, 0.02, 0.04, 0.08):
            killer = threading.Timer(pause, lambda: till.server.process.send_signal(signal.SIGKILL))
            try:
                killer.start()
                till.restart()
            except AssertionError:
                pass  # it was not ready when it died, as meant
            killer.join()  # or it would kill the next one
            till.kill()
        till.restart()
        self.assertEqual(till.order(order["id"])["state"], "awaiting_payment")
        self.assertEqual(till.stock(sku), (8, 2, 0))
        self.assertEqual(till.stop()[0], 0)

    def test_sigterm_under_load_loses_nothing(self):
        till = Till().start()
        self.addCleanup(till.clean)
        sku = till.sku(stock=100000)
        answered, stop = [], threading.Event()

        def buy():
            while not stop.is_set():
                try:
                    answer = till.call("POST", "/v1/orders", {"items": [{"sku": sku, "quantity": 1}], "channel": "any"})
                except (OSError, http.client.HTTPException):
                    return
                if answer.status == 201:
                    answered.append(answer.json["id"])
                elif answer.status != 503:
                    raise AssertionError(repr(answer))

        def end():
            time.sleep(0.7)
            status = till.stop()
            stop.set()
            return status

        *_, (status, seconds) = at_once(*[buy] * 4, end)
        self.assertEqual(status, 0)
        self.assertLess(seconds, 10)
        till.restart()
        self.assertTrue(answered)
        self.assertLessEqual(set(answered), {o["id"] for o in till.all("/v1/orders")})
        self.assertEqual(till.stop()[0], 0)


class Fresh(unittest.TestCase):
    def test_fresh_empties_the_shop_the_sandbox_and_the_clock(self):
        till = Till("--fresh").start()
        self.addCleanup(till.clean)
        sku = till.sku(sku="only-once")
        till.scan_and_pay(till.place(sku, 1))
        till.advance("5h")
        far = till.now()
        self.assertEqual(till.stop()[0], 0)
        till.restart()
        self.assertEqual(till.call("GET", "/v1/skus/only-once").status, 404)
        self.assertEqual(till.all("/v1/orders"), [])
        self.assertEqual((till.ledger()["captured"], till.ledger()["trades"]), (0, 0))
        self.assertLess(till.now(), far - 3600)
        self.assertEqual(till.stop()[0], 0)

    def test_a_demo_catalogue_is_there_and_stays_as_the_user_left_it(self):
        till = Till().start()
        self.addCleanup(till.clean)
        demo = till.all("/v1/skus")
        self.assertTrue(demo)
        it = demo[0]["sku"]
        till.good("PUT", f"/v1/skus/{it}", {"title": "mine now", "price": 1}, (200,))
        self.assertEqual(till.stop()[0], 0)
        till.restart()
        self.assertEqual(till.good("GET", f"/v1/skus/{it}")["title"], "mine now")
        self.assertEqual(len(till.all("/v1/skus")), len(demo))
        self.assertEqual(till.stop()[0], 0)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""Stock and carts: what is kept, what is refused, and that neither is ever oversold."""
import unittest
from urllib.parse import quote

from harness import Case, at_once, name


class Stock(Case):
    def test_a_new_sku_answers_201_and_a_changed_one_200(self):
        sku = name()
        it = self.till.good("PUT", f"/v1/skus/{sku}", {"title": "Tea", "price": 250, "stock": 7}, (201,))
        self.assertEqual(it, {"sku": sku, "title": "Tea", "price": 250, "currency": "CNY", "available": 7, "held": 0, "sold": 0})
        self.assertEqual(self.till.good("GET", f"/v1/skus/{sku}"), it)
        it = self.till.good("PUT", f"/v1/skus/{sku}", {"title": "Tea, green", "price": 300}, (200,))
        self.assertEqual((it["title"], it["price"], it["available"]), ("Tea, green", 300, 7))

    def test_a_sku_without_stock_begins_with_none(self):
        sku = name()
        it = self.till.good("PUT", f"/v1/skus/{sku}", {"title": "Tea", "price": 250}, (201,))
        self.assertEqual((it["available"], it["held"], it["sold"]), (0, 0, 0))
        self.problem(self.till.call("POST", "/v1/orders", {"items": [{"sku": sku, "quantity": 1}], "channel": "alipay"}),
                     409, "insufficient_stock")

    def test_the_currency_may_be_said(self):
        sku = name()
        it = self.till.good("PUT", f"/v1/skus/{sku}", {"title": "Tea", "price": 250, "currency": "CNY", "stock": 1}, (201,))
        self.assertEqual(it["currency"], "CNY")

    def test_stock_is_accepted_at_creation_only(self):
        sku = self.till.sku(stock=7, price=250)
        before = self.till.good("GET", f"/v1/skus/{sku}")
        self.problem(self.till.call("PUT", f"/v1/skus/{sku}", {"title": "other", "price": 1, "stock": 9}), 409, "sku_exists")
        self.assertEqual(self.till.good("GET", f"/v1/skus/{sku}"), before)

    def test_stock_is_added_and_taken_but_never_below_zero(self):
        sku = self.till.sku(stock=5)
        it = self.till.good("POST", f"/v1/skus/{sku}/stock", {"add": 50})
        self.assertEqual(it["available"], 55)
        self.till.good("POST", f"/v1/skus/{sku}/stock", {"add": -55})
        self.assert_stock(sku, 0, 0, 0)
        self.problem(self.till.call("POST", f"/v1/skus/{sku}/stock", {"add": -1}), 409, "insufficient_stock")
        self.assert_stock(sku, 0, 0, 0)

    def test_what_is_held_cannot_be_taken_away(self):
        sku = self.till.sku(stock=5)
        self.till.place(sku, 4, channel="any")
        self.problem(self.till.call("POST", f"/v1/skus/{sku}/stock", {"add": -2}), 409, "insufficient_stock")
        self.assert_stock(sku, 1, 4, 0)
        self.till.good("POST", f"/v1/skus/{sku}/stock", {"add": -1})
        self.assert_stock(sku, 0, 4, 0)

    def test_an_unknown_sku_is_404_to_read_and_to_restock(self):
        self.problem(self.till.call("GET", f"/v1/skus/{name()}"), 404)
        self.problem(self.till.call("POST", f"/v1/skus/{name()}/stock", {"add": 1}), 404)

    def test_many_restocks_at_once_all_count(self):
        sku = self.till.sku(stock=0)
        answers = sum((at_once(*[lambda: self.till.call("POST", f"/v1/skus/{sku}/stock", {"add": 3})] * 12) for _ in range(5)), [])
        added = [a.status for a in answers].count(200)
        self.assert_stock(sku, 3 * added, 0, 0)
        self.assertEqual([a for a in answers if a.status != 200], [])

    def test_the_list_is_paged_by_cursor_without_gap_or_repeat(self):
        mine = [self.till.sku(stock=1) for _ in range(7)]
        seen, cursor = [], None
        for _ in range(500):
            page = self.till.good("GET", "/v1/skus?limit=3" + (f"&cursor={quote(cursor, safe='')}" if cursor else ""))
            self.assertLessEqual(len(page["data"]), 3)
            seen += [row["sku"] for row in page["data"]]
            if not page["has_more"]:
                break
            cursor = page["next_cursor"]
        self.assertEqual(len(seen), len(set(seen)))
        self.assertLessEqual(set(mine), set(seen))
        self.assertEqual([s for s in seen if s in mine], mine[::-1], "newest first")

    def test_a_bad_page_is_refused(self):
        for query in ("limit=0", "limit=201", "limit=-1", "limit=x", "limit=", "limit=1.5", "limit=99999999999999999999",
                      "cursor=%00", "cursor=nonsense"):
            with self.subTest(query):
                self.problem(self.till.call("GET", f"/v1/skus?{query}"), 400)
                self.problem(self.till.call("GET", f"/v1/orders?{query}"), 400)

    def test_a_title_may_be_chinese_and_an_id_may_need_escaping(self):
        sku = self.till.sku(stock=2, title="苹果 🍎 \"quoted\" \\ </script>")
        self.assertEqual(self.till.good("GET", f"/v1/skus/{sku}")["title"], "苹果 🍎 \"quoted\" \\ </script>")
        order = self.till.place(sku, 1)
        self.assertEqual(order["items"][0]["title"], "苹果 🍎 \"quoted\" \\ </script>")
        self.till.scan_and_pay(order)
        self.till.until(order["id"], "paid", 1.0)

    def test_a_hot_sku_is_never_oversold(self):
        sku = self.till.sku(stock=10, price=7)
        body = {"items": [{"sku": sku, "quantity": 1}], "channel": "any"}

        def buy():
            return [self.till.call("POST", "/v1/orders", body) for _ in range(5)]

        answers = sum(at_once(*[buy] * 8), [])
        self.assertEqual(sorted(a.status for a in answers), [201] * 10 + [409] * 30)
        for a in answers:
            if a.status == 409:
                self.problem(a, 409, "insufficient_stock")
        self.assert_stock(sku, 0, 10, 0)
        self.assert_audit()

    def test_a_hot_sku_with_cancels_among_the_buyers_ends_exact(self):
        sku = self.till.sku(stock=5, price=7)
        body = {"items": [{"sku": sku, "quantity": 1}], "channel": "any"}

        def buy_and_let_go():
            for _ in range(6):
                answer = self.till.call("POST", "/v1/orders", body)
                self.assertIn(answer.status, (201, 409), repr(answer))
                if answer.status == 201:
                    gone = self.till.good("POST", f"/v1/orders/{answer.json['id']}/cancel", {"reason": "buyer"}, (200,))
                    self.assertIn(gone["state"], ("closing", "cancelled"))

        at_once(*[buy_and_let_go] * 6)
        self.till.advance("1m")
        self.assert_stock(sku, 5, 0, 0)
        self.assert_audit()


class Carts(Case):
    def put(self, cart, sku, quantity):
        return self.till.good("PUT", f"/v1/carts/{cart}/items/{sku}", {"quantity": quantity}, (200, 201))

    def items(self, cart):
        return {i["sku"]: i["quantity"] for i in self.till.good("GET", f"/v1/carts/{cart}")["items"]}

    def test_a_cart_shows_items_prices_and_sum(self):
        cart, a, b = name("cart"), self.till.sku(price=100), self.till.sku(price=33)
        self.put(cart, a, 2)
        self.put(cart, b, 3)
        it = self.till.good("GET", f"/v1/carts/{cart}")
        self.assertEqual((it["cart"], it["amount"], it["currency"]), (cart, 299, "CNY"))
        self.assertEqual(sorted(it["items"], key=lambda i: i["price"]),
                         [{"sku": b, "title": "a thing", "quantity": 3, "price": 33},
                          {"sku": a, "title": "a thing", "quantity": 2, "price": 100}])
        self.assert_stock(a, 10, 0, 0)  # a cart holds nothing

    def test_a_quantity_is_set_not_added_and_zero_removes(self):
        cart, a = name("cart"), self.till.sku()
        self.put(cart, a, 2)
        self.put(cart, a, 5)
        self.assertEqual(self.items(cart), {a: 5})
        self.put(cart, a, 0)
        self.assertEqual(self.items(cart), {})

    def test_a_cart_can_be_emptied(self):
        cart, a = name("cart"), self.till.sku()
        self.put(cart, a, 2)
        self.assertIn(self.till.call("DELETE", f"/v1/carts/{cart}").status, (200, 204))
        self.assertEqual(self.items(cart), {})

    def test_an_order_from_a_cart_takes_its_items_and_empties_it(self):
        cart, a, b = name("cart"), self.till.sku(price=100), self.till.sku(price=33)
        self.put(cart, a, 2)
        self.put(cart, b, 3)
        order = self.till.place(cart=cart)
        self.assertEqual({i["sku"]: (i["quantity"], i["price"]) for i in order["items"]}, {a: (2, 100), b: (3, 33)})
        self.assertEqual(order["amount"], 299)
        self.assertEqual(self.items(cart), {})
        self.assert_stock(a, 8, 2, 0)
        self.assert_stock(b, 7, 3, 0)

    def test_a_cart_emptied_meanwhile_is_refused_and_nothing_is_held(self):
        cart, a = name("cart"), self.till.sku()
        self.put(cart, a, 2)
        self.till.call("DELETE", f"/v1/carts/{cart}")
        before = self.till.snapshot()
        self.problem(self.till.call("POST", "/v1/orders", {"cart": cart, "channel": "alipay"}), (409, 422))
        self.problem(self.till.call("POST", "/v1/orders", {"cart": name("never"), "channel": "alipay"}), (404, 409, 422))
        self.unchanged(before)

    def test_a_cart_is_ordered_once_however_many_press_the_button(self):
        a = self.till.sku(stock=1000)
        for n in range(1, 21):
            cart = name("cart")
            self.put(cart, a, 2)
            answers = at_once(*[lambda: self.till.call("POST", "/v1/orders", {"cart": cart, "channel": "any"})] * 6)
            self.assertEqual([x.status for x in answers].count(201), 1, answers)
            self.assert_stock(a, 1000 - 2 * n, 2 * n, 0)

    def test_what_is_put_in_while_the_cart_is_ordered_is_neither_lost_nor_sold_twice(self):
        for _ in range(10):
            cart, a, b = name("cart"), self.till.sku(), self.till.sku()
            self.put(cart, a, 1)
            order, _ = at_once(lambda: self.till.place(cart=cart, channel="any"), lambda: self.put(cart, b, 1))
            ordered, left = {i["sku"] for i in order["items"]}, set(self.items(cart))
            self.assertEqual(ordered | left, {a, b})
            self.assertEqual(ordered & left, set())

    def test_an_order_that_is_refused_leaves_the_cart_as_it_was(self):
        cart, a, b = name("cart"), self.till.sku(stock=10), self.till.sku(stock=1)
        self.put(cart, a, 2)
        self.put(cart, b, 3)
        self.problem(self.till.call("POST", "/v1/orders", {"cart": cart, "channel": "alipay"}), 409, "insufficient_stock")
        self.assertEqual(self.items(cart), {a: 2, b: 3})
        self.assert_stock(a, 10, 0, 0)
        self.assert_stock(b, 1, 0, 0)

    def test_the_price_of_the_day_of_the_order_counts(self):
        cart, a = name("cart"), self.till.sku(price=100)
        self.put(cart, a, 2)
        self.till.good("PUT", f"/v1/skus/{a}", {"title": "a thing", "price": 150}, (200,))
        self.assertEqual(self.till.good("GET", f"/v1/carts/{cart}")["amount"], 300)
        order = self.till.place(cart=cart)
        self.assertEqual(order["amount"], 300)
        self.till.good("PUT", f"/v1/skus/{a}", {"title": "dearer", "price": 999}, (200,))
        after = self.till.order(order["id"])
        self.assertEqual((after["amount"], after["items"]), (300, order["items"]), "an order keeps its price")

    def test_bad_quantities_and_unknown_skus_change_no_cart(self):
        cart, a = name("cart"), self.till.sku()
        self.put(cart, a, 2)
        for quantity in (-1, 1.5, "2", None, True, 10**12, 2**31, 2**63, 2**64, [], {}):
            with self.subTest(quantity):
                self.problem(self.till.call("PUT", f"/v1/carts/{cart}/items/{a}", {"quantity": quantity}), (400, 422))
        self.problem(self.till.call("PUT", f"/v1/carts/{cart}/items/{name()}", {"quantity": 1}), (404, 422))
        self.assertEqual(self.items(cart), {a: 2})


if __name__ == "__main__":
    unittest.main()

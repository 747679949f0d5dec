# SPDX-License-Identifier: Apache-2.0
"""The four check-back policies over the embedded broker, as a shop and its downstream services see them."""
import os
import shutil
import tempfile
import threading
import unittest
from urllib.parse import quote

from harness import Case, Process, Till, call, free_ports, instant, run_till, wait_for

CANCEL, PAID, EVENTS, DEAD = "till_order_cancel", "till_order_paid", "till_order_events", "%DLQ%till_cancel"


def page(till, topic, after=None, limit=None):
    path = f"/v1/messages?topic={quote(topic, safe='')}"
    path += f"&after={after}" if after else ""
    return till.good("GET", path + (f"&limit={limit}" if limit else ""))


def messages(till, topic, order_id=None):
    """All of a topic, or one order's, oldest first."""
    found, after = [], None
    for _ in range(10000):
        it = page(till, topic, after, 200)
        found += it["data"]
        if not it["has_more"]:
            return [m for m in found if order_id in (None, m["keys"])]
        after = it["data"][-1]["id"]
    raise AssertionError(f"{topic} never ends")


def lines(till, order_id, kind):
    return [row for row in till.timeline(order_id) if row["kind"] == kind]


def halves(till, order_id):
    """The half message's answers, each with the state it came with."""
    told, state = [], None
    for row in till.timeline(order_id):
        if row["kind"] == "state":
            state = row["to"]
        if row["kind"] == "half":
            told.append((row["answer"], state))
    return told


# policy: (half messages, tags on the cancel topic, tags on the paid topic)
WHEN_PAID = {"delay": ([], [], []), "poll": ([], [], []),
             "reverse": ([("UNKNOWN", "placed"), ("ROLLBACK", "paid")], [], []),
             "forward": ([("UNKNOWN", "placed"), ("COMMIT", "paid")], [], ["order.paid"])}
WHEN_OVER = {"delay": ([], ["order.cancel"], []), "poll": ([], ["order.cancel"], []),
             "reverse": ([("UNKNOWN", "placed"), ("COMMIT", "closing")], ["order.cancel"], []),
             "forward": ([("UNKNOWN", "placed"), ("ROLLBACK", "cancelled")], ["order.cancelled"], [])}


class Policies(Case):
    FLAGS = ("--checkback.schedule", "fixed")

    def assert_told(self, order_id, expected):
        half, on_cancel, on_paid = expected
        self.assertEqual(halves(self.till, order_id), half)
        self.assertEqual([m["tags"] for m in messages(self.till, CANCEL, order_id)], on_cancel)
        self.assertEqual([m["tags"] for m in messages(self.till, PAID, order_id)], on_paid)
        self.assert_lived_well(order_id)

    def test_paid_in_time(self):
        for policy, expected in WHEN_PAID.items():
            with self.subTest(policy):
                order = self.till.place(self.till.sku(), policy=policy)
                self.assertEqual(order["policy"], policy)
                self.till.scan_and_pay(order)
                self.till.until(order["id"], "paid")
                self.till.advance("10m")
                self.assert_told(order["id"], expected)
                self.assertFalse([m for m in lines(self.till, order["id"], "message") if "received" in m["detail"]])

    def test_the_window_is_over(self):
        for policy, expected in WHEN_OVER.items():
            with self.subTest(policy):
                sku = self.till.sku()
                order = self.till.place(sku, policy=policy)
                self.till.advance("10m")
                self.assertEqual(self.till.order(order["id"])["state"], "cancelled")
                self.assert_told(order["id"], expected)
                self.assert_stock(sku, 10, 0, 0)
                received = [m for m in lines(self.till, order["id"], "message") if "received" in m["detail"]]
                self.assertEqual(len(received), 0 if policy == "forward" else 1, "the receiver takes order.cancel only")
        self.assert_audit()

    def test_a_buyer_cancels(self):
        for policy, expected in WHEN_OVER.items():
            with self.subTest(policy):
                order = self.till.place(self.till.sku(), policy=policy, channel="any")
                self.till.good("POST", f"/v1/orders/{order['id']}/cancel", {"reason": "buyer"})
                self.till.until(order["id"], "cancelled")
                self.assert_told(order["id"], expected)
                self.assertEqual({m["body"]["reason"] for m in messages(self.till, CANCEL, order["id"])}, {"buyer"})

    def test_the_receiver_closes_not_the_wait_for_it(self):
        order = self.till.place(self.till.sku(), policy="reverse", pay_within=60)
        self.till.advance("60s")  # settled: the message has come round, and no time passed
        rows = self.till.timeline(order["id"])
        closing = next(r for r in rows if r["kind"] == "state" and r["to"] == "closing")
        received = next(r for r in rows if r["kind"] == "message" and "received" in r["detail"])
        asked = next(r for r in rows[rows.index(received):] if r["kind"] == "provider")
        self.assertLess(instant(received["at"]) - instant(closing["at"]), 5)
        self.assertLess(instant(asked["at"]) - instant(closing["at"]), 5)

    def test_the_services_policy_is_reverse_and_an_order_may_have_another(self):
        self.assertEqual(self.till.place(self.till.sku())["policy"], "reverse")
        for policy in ("Reverse", "", "none", 1, None, ["reverse"]):
            with self.subTest(policy):
                self.problem(self.till.call("POST", "/v1/orders", {"amount": 1, "subject": "x", "policy": policy}), (400, 422),
                             pointer="/policy")


class CheckBacks(Case):
    FLAGS = ("--checkback.schedule", "fixed")

    def asked(self, policy):
        order = self.till.place(self.till.sku(), policy=policy)
        self.till.advance("100s")
        return order, lines(self.till, order["id"], "checkback")

    def counter(self, policy, answer):
        return self.till.metrics()[f'till_checkbacks_total{{policy="{policy}",answer="{answer}"}}']

    def test_each_is_numbered_and_unknown_while_nobody_paid(self):
        for policy, n in (("poll", 3), ("reverse", 3), ("forward", 3), ("delay", 0)):
            with self.subTest(policy):
                before = self.counter(policy, "UNKNOWN")
                order, asked = self.asked(policy)
                self.assertEqual([(row["n"], row["answer"]) for row in asked], [(i + 1, "UNKNOWN") for i in range(n)])
                for i, row in enumerate(asked):
                    self.assertAlmostEqual(instant(row["at"]) - instant(order["created_at"]), 30 * (i + 1), delta=3)
                self.assertEqual(self.counter(policy, "UNKNOWN") - before, n)

    def test_one_that_finds_the_money_answers_as_its_policy_says(self):
        self.till.faults(notify={"drop": 1.0})
        self.addCleanup(self.till.no_faults)
        for policy, answer in (("poll", "ROLLBACK"), ("reverse", "ROLLBACK"), ("forward", "COMMIT")):
            with self.subTest(policy):
                before = self.counter(policy, answer)
                order, asked = self.asked(policy)
                self.till.scan_and_pay(order)
                self.till.advance("40s")
                self.assertEqual(self.till.order(order["id"])["state"], "paid")
                now = lines(self.till, order["id"], "checkback")
                self.assertEqual(len(now), len(asked) + 1)
                self.assertEqual((now[-1]["n"], now[-1]["answer"]), (4, answer))
                self.assertEqual(self.counter(policy, answer) - before, 1)
                self.till.advance("10m")
                self.assertEqual(len(lines(self.till, order["id"], "checkback")), 4, "nobody asks about a paid order")


class Messages(Case):
    def cancelled(self, n, **more):
        orders = [self.till.place(self.till.sku(), channel="any", **more)["id"] for _ in range(n)]
        for order in orders:
            self.till.good("POST", f"/v1/orders/{order}/cancel", {})
            self.till.until(order, "cancelled")
        return orders

    def test_one_says_what_happened_in_the_words_of_the_contract(self):
        order = self.cancelled(1, policy="delay")[0]
        message, = messages(self.till, CANCEL, order)
        self.assertEqual(set(message), {"id", "topic", "tags", "keys", "at", "body"})
        self.assertEqual((message["topic"], message["tags"], message["keys"]), (CANCEL, "order.cancel", order))
        closing = next(e for e in self.till.events(order) if e["type"] == "order.closing")
        self.assertEqual(message["body"], {"id": message["id"], "type": "order.cancel", "order": order,
                                           "sequence": closing["sequence"], "amount": 100, "reason": "merchant"})
        self.assertEqual(message["at"], closing["created_at"])

    def test_they_come_oldest_first_page_by_page(self):
        mine = self.cancelled(5)
        everything = messages(self.till, CANCEL)
        self.assertEqual([m["keys"] for m in everything if m["keys"] in mine], mine)
        self.assertEqual([m["at"] for m in everything], sorted(m["at"] for m in everything))
        self.assertEqual(len({m["id"] for m in everything}), len(everything))
        walked, after = [], None
        while True:
            it = page(self.till, CANCEL, after, 2)
            self.assertLessEqual(len(it["data"]), 2)
            walked += it["data"]
            if not it["has_more"]:
                break
            self.assertEqual(len(it["data"]), 2)
            after = it["data"][-1]["id"]
        self.assertEqual(walked, everything)
        self.assertEqual(page(self.till, CANCEL, everything[-1]["id"]), {"data": [], "has_more": False})
        self.assertEqual(page(self.till, CANCEL, None, len(everything))["has_more"], False)
        self.assertEqual(page(self.till, CANCEL, everything[-3]["id"])["data"], everything[-2:])

    def test_the_topic_of_facts_is_the_events(self):
        self.cancelled(2)
        events, facts = self.till.events(), messages(self.till, EVENTS)
        self.assertEqual([(e["id"], e["type"], e["order"], e["sequence"], e["created_at"]) for e in events],
                         [(m["id"], m["tags"], m["keys"], m["body"]["sequence"], m["at"]) for m in facts])
        for m in facts:
            self.assertEqual((m["body"]["id"], m["body"]["type"], m["body"]["order"]), (m["id"], m["tags"], m["keys"]))
        self.assertEqual(page(self.till, EVENTS, facts[2]["id"], 3)["data"], facts[3:6])

    def test_nothing_is_dead(self):
        self.assertEqual(page(self.till, DEAD), {"data": [], "has_more": False})

    def test_what_is_no_topic_or_no_message_of_it_is_refused(self):
        order = self.cancelled(1)[0]
        message, event = messages(self.till, CANCEL, order)[0]["id"], self.till.events(order)[0]["id"]
        for query, code in (("", "invalid_parameter"), ("?topic=", "invalid_parameter"), ("?topic=nothing", "invalid_parameter"),
                            ("?topic=TILL_ORDER_CANCEL", "invalid_parameter"), (f"?topic={CANCEL}%00", None),
                            (f"?topic={CANCEL}&limit=0", "invalid_parameter"), (f"?topic={CANCEL}&limit=201", "invalid_parameter"),
                            (f"?topic={CANCEL}&limit=x", "invalid_parameter"), (f"?topic={CANCEL}&cursor=x", None),
                            (f"?topic={CANCEL}&after=", None), (f"?topic={CANCEL}&after=1", "invalid_cursor"),
                            (f"?topic={CANCEL}&after={event}", "invalid_cursor"), (f"?topic={EVENTS}&after={message}", "invalid_cursor"),
                            (f"?topic={CANCEL}&after={order}", "invalid_cursor"), (f"?topic={CANCEL}&after={message}x", "invalid_cursor"),
                            (f"?topic={CANCEL}&after={message[:-1]}", "invalid_cursor"), (f"?topic={CANCEL}&topic={PAID}", None)):
            with self.subTest(query):
                self.problem(self.till.call("GET", "/v1/messages" + query), 400, code)
        for method in ("POST", "PUT", "DELETE"):
            self.problem(self.till.call(method, f"/v1/messages?topic={CANCEL}"), (404, 405))


class Serving(unittest.TestCase):
    """`till serve` with flags of its own: it has no sandbox to make keys for, and is up soon."""

    def folder(self):
        folder = tempfile.mkdtemp(prefix="till-policies-")
        self.addCleanup(shutil.rmtree, folder, True)
        return folder

    def serve(self, folder, *flags):
        url = f"http://127.0.0.1:{free_ports(1)[0]}"
        args = ["serve", "--listen", url.removeprefix("http://"), "--store.url", f"sqlite:{folder}/till.db", *flags]
        server = Process(args, (url, "/readyz"), os.path.join(folder, "stderr.log"))
        self.addCleanup(server.kill)
        return url, server.start(60)


class Keys(Serving):
    def test_reading_messages_takes_a_key_that_may_read(self):
        folder = self.folder()
        keys = os.path.join(folder, "keys")
        status, out, err = run_till("key", "add", "reader", "--scope", "read", "--file", keys)
        self.assertEqual(status, 0, err)
        url, server = self.serve(folder, "--server.api_keys_file", keys)
        path = f"/v1/messages?topic={CANCEL}"
        self.assertEqual(call(url, "GET", path).status, 401)
        self.assertEqual(call(url, "GET", path, headers={"Authorization": "Bearer nonsense"}).status, 401)
        good = call(url, "GET", path, headers={"Authorization": f"Bearer {out.strip().split()[-1]}"})
        self.assertEqual((good.status, good.json), (200, {"data": [], "has_more": False}))
        self.assertEqual(server.stop()[0], 0)


class Sweep(Case):
    FLAGS = ("--sweep.cron", "0 0/2 * ? * *")

    def ready(self):
        return self.till.good("GET", "/readyz?verbose")

    def test_it_runs_as_its_schedule_says_and_finds_nothing_to_do(self):
        orders = [self.till.place(self.till.sku(), channel=c, policy=p)["id"] for c in ("any", "alipay")
                  for p in ("delay", "poll", "reverse", "forward")]
        before = self.ready()
        self.assertIs(before["ready"], True)
        self.assertEqual(before["broker"]["kind"], "embedded")
        self.assertEqual(before["sweep"]["unaccounted"], 0)
        for _ in range(6):
            self.till.advance("1m")
            self.assertEqual(self.till.metrics()["till_deadlines_unaccounted"], 0)
        self.till.advance("10m")
        wait_for(lambda: self.ready()["sweep"]["sweeps"] > before["sweep"]["sweeps"], 5.0, "a sweep")
        sweep = self.ready()["sweep"]
        self.assertEqual((sweep["overdue"], sweep["unaccounted"]), (0, 0), "the timers had done it all")
        self.assertGreaterEqual(instant(sweep["next_at"]), instant(sweep["last_at"]))
        self.assertEqual(instant(sweep["next_at"]) % 120, 0)
        metrics = self.till.metrics()
        self.assertEqual(metrics["till_deadlines_unaccounted"], 0)
        self.assertEqual(metrics["till_sweep_overdue_total"], 0)
        self.assertEqual(metrics["till_sweep_rescued_total"], 0)
        self.assertGreaterEqual(metrics["till_sweeps_total"], 1)
        self.assertEqual(metrics["till_messages_dead_total"], 0)
        for order in orders:
            self.assertEqual(self.till.order(order)["state"], "cancelled")
            self.assertEqual(lines(self.till, order, "sweep"), [])


class SweepTexts(Serving):
    def test_what_is_no_schedule_stops_the_start_with_one_line(self):
        for text in ("", "every ten minutes", "0 0/10 * ? *", "60 * * ? * *", "0 0 0 1 1 1", "0 0/0 * ? * ?", "* * * * * * * *",
                     "0 0 24 * * ?", "0 0 0 0 * ?", "0 0 0 ? 13 *", "0 0 0 ? * 8", "0 0 0 ? * MONDAY", "0 0 0 * * ? 1969", "-1 * * * * ?",
                     "0 0 0 ? * ?\n0", "0,, * * * * ?", "0 0 0 \u4e00 * ?", "0 " * 200):
            with self.subTest(text):
                folder = self.folder()
                status, out, err = run_till("serve", "--listen", "127.0.0.1:0", "--store.url", f"sqlite:{folder}/till.db",
                                            "--sweep.cron", text)
                self.assertNotEqual(status, 0, out)
                said = [line for line in err.splitlines() if line]
                self.assertEqual(len(said), 1, err)
                self.assertIn("sweep.cron", said[0])
                self.assertTrue(said[0].isprintable() and len(said[0]) < 400, said)

    def test_schedules_are_taken(self):
        for text in ("0 0/10 * ? * ?", "*/30 * * ? * MON-FRI", "0 15 10 L * ? 2026-2099", "0 0 4 ? jan 2#1"):
            with self.subTest(text):
                url, server = self.serve(self.folder(), "--sweep.cron", text)
                it = wait_for(lambda: (lambda r: r if "next_at" in r["sweep"] else None)(call(url, "GET", "/readyz?verbose").json))
                self.assertGreater(instant(it["sweep"]["next_at"]), instant(it["now"]) - 1)
                self.assertEqual(server.stop()[0], 0)

    def test_one_that_is_never_due_again_is_taken_and_says_so(self):
        url, server = self.serve(self.folder(), "--sweep.cron", "0 0 0 31 FEB ?")
        self.assertNotIn("next_at", call(url, "GET", "/readyz?verbose").json["sweep"])
        self.assertEqual(server.stop()[0], 0)


class AcrossKill(unittest.TestCase):
    """kill -9 while order.cancel is between its commit and what it brings about."""

    def test_an_order_whose_message_was_on_its_way_ends_cancelled(self):
        till = Till("--checkback.policy", "reverse").start()
        self.addCleanup(till.clean)
        for _ in range(6):
            sku = till.sku(stock=20)
            orders = [till.place(sku, pay_within=60)["id"] for _ in range(3)]
            moving = threading.Thread(target=self.move, args=(till,), daemon=True)
            moving.start()
            wait_for(lambda: any(messages(till, CANCEL, o) for o in orders), 10.0, "order.cancel")
            till.kill()
            moving.join(15)
            till.restart()
            till.advance("2m")
            for order in orders:
                self.assertEqual(till.order(order)["state"], "cancelled")
                self.assertGreaterEqual(len(messages(till, CANCEL, order)), 1)
                self.assertEqual(halves(till, order)[-1], ("COMMIT", "closing"))
                told = [e["type"] for e in till.events(order)]
                self.assertEqual(told.count("order.cancelled"), 1)
            self.assertEqual(till.stock(sku), (20, 0, 0))
        self.assertEqual(till.metrics()["till_deadlines_unaccounted"], 0)
        status, out, err = till.audit()
        self.assertEqual(status, 0, out + err)
        self.assertEqual(till.stop()[0], 0)

    @staticmethod
    def move(till):
        try:
            call(till.url, "POST", "/dev/clock", {"advance": "61s"}, timeout=12)
        except OSError:
            pass  # it was killed
        except Exception as e:  # http.client's own, for an answer that was cut off
            if "http" not in type(e).__module__:
                raise

    def test_messages_and_what_was_paid_are_there_after_it(self):
        till = Till("--checkback.policy", "forward").start()
        self.addCleanup(till.clean)
        order = till.place(till.sku())
        till.scan_and_pay(order)
        till.until(order["id"], "paid")
        before = messages(till, PAID), messages(till, EVENTS)
        self.assertEqual([m["tags"] for m in before[0]], ["order.paid"])
        till.kill()
        till.restart()
        self.assertEqual((messages(till, PAID), messages(till, EVENTS)), before)
        self.assertEqual(till.stop()[0], 0)


class ServicePolicy(Case):
    FLAGS = ("--checkback.policy", "forward")

    def test_an_orders_own_policy_wins(self):
        default, own = self.till.place(self.till.sku()), self.till.place(self.till.sku(), policy="delay")
        self.assertEqual((default["policy"], own["policy"]), ("forward", "delay"))
        self.till.advance("10m")
        self.assertEqual([m["tags"] for m in messages(self.till, CANCEL, default["id"])], ["order.cancelled"])
        self.assertEqual([m["tags"] for m in messages(self.till, CANCEL, own["id"])], ["order.cancel"])
        self.assertEqual(self.till.order(own["id"])["policy"], "delay")


if __name__ == "__main__":
    unittest.main()

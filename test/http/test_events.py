# SPDX-License-Identifier: Apache-2.0
"""The feed: long poll and server-sent events, dense per order, resumable, and never in the way of other callers."""
import http.client
import json
import threading
import time
import unittest
from urllib.parse import quote, urlsplit

from harness import Case, EVENT_TYPES, Till, at_once, instant, wait_for


class Stream:
    """A reader of server-sent events, in a thread, that keeps (id, event, data) as they come."""

    def __init__(self, url, last=None):
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        headers = {"Accept": "text/event-stream"}
        if last:
            headers["Last-Event-ID"] = last
        self.connection.request("GET", "/v1/events/stream", headers=headers)
        self.response = self.connection.getresponse()
        self.got, self.ended = [], False
        self.socket = self.connection.sock or self.response.fp.raw._sock
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        fields = {}
        try:
            for line in self.response:
                line = line.decode("utf-8").rstrip("\r\n")
                if not line:
                    if "data" in fields:
                        self.got.append((fields.get("id"), fields.get("event"), json.loads(fields["data"])))
                    fields = {}
                elif not line.startswith(":"):
                    key, _, value = line.partition(":")
                    value = value.removeprefix(" ")
                    fields[key] = fields[key] + "\n" + value if key == "data" and key in fields else value
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            pass
        self.ended = True

    def ids(self):
        return [g[0] for g in self.got]

    def of(self, order_id):
        return [g[2] for g in self.got if g[2]["order"] == order_id]

    def close(self):
        try:
            self.socket.shutdown(2)
        except OSError:
            pass
        self.thread.join(5)
        self.connection.close()


class Feed(Case):
    def stream(self, last=None):
        stream = Stream(self.till.url, last)
        self.addCleanup(stream.close)
        self.assertEqual(stream.response.status, 200)
        self.assertEqual(stream.response.headers["Content-Type"].split(";")[0], "text/event-stream")
        return stream

    def last(self):
        return self.till.events()[-1]["id"]

    def some(self):
        sku = self.till.sku()
        order = self.till.place(sku)
        return order

    def test_events_have_every_field_and_count_from_one(self):
        order = self.some()
        self.till.scan_and_pay(order)
        self.till.until(order["id"], "paid", 1.0)
        events = self.till.events(order["id"])
        self.assertEqual([e["type"] for e in events], ["order.placed", "order.awaiting_payment", "order.paid"])
        self.assertEqual([e["sequence"] for e in events], [1, 2, 3])
        for e in events:
            self.assertEqual(set(e), {"id", "type", "created_at", "order", "sequence", "data"})
            self.assertTrue(e["id"].startswith("evt_"))
            self.assertIsInstance(e["data"], dict)
            instant(e["created_at"])
        self.assertEqual(len({e["id"] for e in events}), 3)

    def test_a_cancelled_order_tells_placed_awaiting_closing_cancelled(self):
        order = self.some()
        self.till.advance("6m")
        events = self.till.events(order["id"])
        self.assertEqual([e["type"] for e in events],
                         ["order.placed", "order.awaiting_payment", "order.closing", "order.cancelled"])
        self.assertEqual([e["sequence"] for e in events], [1, 2, 3, 4])

    def test_only_known_types_exist(self):
        self.some()
        self.assertLessEqual({e["type"] for e in self.till.events()}, EVENT_TYPES)

    def test_pages_join_without_gap_or_repeat(self):
        for _ in range(4):
            self.some()
        whole = self.till.events()
        for limit in (1, 3, 200):
            seen, after = [], None
            for _ in range(len(whole) + 2):
                page = self.till.good("GET", f"/v1/events?limit={limit}" + (f"&after={after}" if after else ""))
                self.assertLessEqual(len(page["data"]), limit)
                seen += page["data"]
                if not page["has_more"]:
                    break
                after = page["data"][-1]["id"]
            self.assertEqual(seen[:len(whole)], whole)
        at = [instant(e["created_at"]) for e in whole]
        self.assertEqual(at, sorted(at), "oldest first")

    def test_fifty_are_given_when_no_limit_is(self):
        for _ in range(26):
            self.till.place(self.till.sku(), 1, channel="any")
        page = self.till.good("GET", "/v1/events")
        self.assertEqual((len(page["data"]), page["has_more"]), (50, True))

    def test_a_long_poll_answers_when_something_happens(self):
        self.some()
        last = self.last()
        answers = []

        def poll():
            begin = time.monotonic()
            page = self.till.good("GET", f"/v1/events?after={last}&wait=10")
            answers.append((time.monotonic() - begin, page))

        reader = threading.Thread(target=poll)
        reader.start()
        time.sleep(0.5)
        self.assertEqual(answers, [], "nothing happened yet")
        order = self.some()
        reader.join(10)
        seconds, page = answers[0]
        self.assertTrue(0.4 < seconds < 2.0, seconds)
        self.assertEqual((page["data"][0]["order"], page["data"][0]["sequence"]), (order["id"], 1))

    def test_a_long_poll_in_which_nothing_happens_ends_empty(self):
        self.some()
        begin = time.monotonic()
        page = self.till.good("GET", f"/v1/events?after={self.last()}&wait=1")
        self.assertEqual((page["data"], page["has_more"]), ([], False))
        self.assertTrue(0.8 < time.monotonic() - begin < 2.5)

    def test_a_poll_without_waiting_answers_at_once(self):
        self.some()
        last = self.last()
        for query in (f"after={last}", f"after={last}&wait=0"):
            begin = time.monotonic()
            self.assertEqual(self.till.good("GET", f"/v1/events?{query}")["data"], [])
            self.assertLess(time.monotonic() - begin, 0.5)

    def test_a_long_poll_with_events_waiting_answers_at_once(self):
        self.some()
        begin = time.monotonic()
        self.assertTrue(self.till.good("GET", "/v1/events?wait=10&limit=1")["data"])
        self.assertLess(time.monotonic() - begin, 0.5)

    def test_a_hundred_pollers_stand_in_nobody_s_way(self):
        self.some()
        last = self.last()
        done = []
        threads = [threading.Thread(target=lambda: done.append(self.till.good("GET", f"/v1/events?after={last}&wait=8")), daemon=True)
                   for _ in range(100)]
        for t in threads:
            t.start()
        time.sleep(0.3)
        begin = time.monotonic()
        order = self.some()
        self.assertLess(time.monotonic() - begin, 2.0)
        for t in threads:
            t.join(10)
        self.assertEqual(len(done), 100)
        self.assertEqual({page["data"][0]["order"] for page in done}, {order["id"]})

    def test_the_stream_tells_what_the_poll_tells(self):
        order = self.some()
        stream = self.stream()
        wait_for(lambda: self.last() in stream.ids(), 3, "the past")
        self.assertEqual([g[2] for g in stream.got], self.till.events())
        self.assertEqual(stream.ids(), [g[2]["id"] for g in stream.got])
        later = self.some()
        wait_for(lambda: len(stream.of(later["id"])) == 2, 1.5, "the present")
        self.till.scan_and_pay(order)
        wait_for(lambda: len(stream.of(order["id"])) == 3, 1.5, "the payment")
        self.assertEqual([e["sequence"] for e in stream.of(order["id"])], [1, 2, 3])
        self.assertEqual([g[2] for g in stream.got], self.till.events())

    def test_the_stream_resumes_behind_the_last_event_seen(self):
        for _ in range(3):
            self.some()
        whole = self.till.events()
        middle = len(whole) // 2
        stream = self.stream(whole[middle]["id"])
        wait_for(lambda: len(stream.got) >= len(whole) - middle - 1, 3, "the rest")
        time.sleep(0.2)
        self.assertEqual([g[2] for g in stream.got], whole[middle + 1:])

    def test_a_stream_cut_again_and_again_loses_and_repeats_nothing(self):
        last, seen = self.last() if self.till.events() else None, []
        begin = len(self.till.events())
        orders = []
        for _ in range(5):
            stream = Stream(self.till.url, last)
            orders.append(self.some()["id"])
            wait_for(lambda: stream.of(orders[-1]), 2, "an event")
            stream.close()
            seen += [g[2] for g in stream.got]
            last = stream.ids()[-1]
        wait_for(lambda: len(self.till.events()) == begin + 10, 2, "ten events")
        rest = self.till.good("GET", f"/v1/events?after={last}&limit=200")["data"]
        self.assertEqual(seen + rest, self.till.events()[begin:])

    def test_many_writers_give_each_order_a_dense_sequence_in_order(self):
        sku = self.till.sku(stock=1000)
        stream = self.stream(self.last() if self.till.events() else None)

        def work():
            ids = []
            for i in range(6):
                order = self.till.place(sku, 1, channel="any")
                self.till.call("POST", f"/v1/orders/{order['id']}/cancel", {})
                ids.append(order["id"])
            return ids

        ids = sum(at_once(*[work] * 6), [])
        for it in ids:
            self.till.until(it, "cancelled")
        wait_for(lambda: all(len(stream.of(i)) >= len(self.till.events(i)) for i in ids[-3:]), 3, "all of them")
        time.sleep(0.2)
        for it in ids:
            told = stream.of(it)
            self.assertEqual([e["sequence"] for e in told], list(range(1, len(told) + 1)))
            self.assertEqual(told[-1]["type"], "order.cancelled")
        self.assertEqual(len(stream.ids()), len(set(stream.ids())))

    def test_an_unknown_cursor_is_refused_on_the_stream_too(self):
        for last in ("evt_", "nonsense", "ord_0", "evt_" + "z" * 300):
            with self.subTest(last):
                self.problem(self.till.call("GET", "/v1/events/stream", headers={"Last-Event-ID": last}, timeout=3), (400, 404, 410))
                self.problem(self.till.call("GET", f"/v1/events?after={quote(last)}"), (400, 404, 410))


class FeedAcrossRestarts(unittest.TestCase):
    def test_a_reader_resumes_after_kill_9_and_sigterm_does_not_wait_for_readers(self):
        till = Till().start()
        self.addCleanup(till.clean)
        sku = till.sku(stock=100)
        stream = Stream(till.url)
        first = till.place(sku, 1)
        wait_for(lambda: len(stream.of(first["id"])) == 2, 2, "two events")
        till.kill()
        stream.thread.join(5)
        self.assertTrue(stream.ended)
        till.restart()
        resumed = Stream(till.url, stream.ids()[-1])
        self.addCleanup(resumed.close)
        second = till.place(sku, 1)
        till.scan_and_pay(first)
        wait_for(lambda: len(resumed.of(second["id"])) == 2 and len(resumed.of(first["id"])) == 1, 2, "what came later")
        self.assertEqual([g[2] for g in stream.got + resumed.got], till.events())
        last = till.events()[-1]["id"]
        poller = threading.Thread(target=lambda: self.drained(till, last), daemon=True)
        poller.start()
        time.sleep(0.3)
        status, seconds = till.stop()
        self.assertEqual(status, 0)
        self.assertLess(seconds, 10)

    @staticmethod
    def drained(till, last):
        try:
            till.call("GET", f"/v1/events?after={last}&wait=20", timeout=25)
        except (OSError, http.client.HTTPException):
            pass


if __name__ == "__main__":
    unittest.main()

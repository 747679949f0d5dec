# SPDX-License-Identifier: Apache-2.0
"""Till among others on a real cluster: in one producer group with the official transaction producer, commanded by the
official producer, and beside a broker that drops or loses half messages."""
import contextlib
import itertools
import json
import os
import shutil
import time
import unittest

import remoting
from rocketmq import Cluster, need
from shop import CANCEL, PAID, Shop, create_topics, instant, pending, wait_for

LIMIT_S = 60


def setUpModule():
    global cluster
    need()
    cluster = Cluster()  # asks back every second
    unittest.addModuleCleanup(cluster.close)
    create_topics(cluster)


class Interop(unittest.TestCase):
    """Each test has a shop of its own, with groups of its own."""
    maxDiff = 4000

    def setUp(self):
        self.remote = cluster.brokers[0].connect()
        self.addCleanup(lambda: self.remote.close())  # whichever it is by then

    def open(self, group, *flags):
        shop = Shop(cluster, group, "--order.pay_within", "10m", *flags)
        self.addCleanup(self.end_all, group)
        self.addCleanup(shop.clean)
        return shop.start()

    def pending(self, group):
        return pending(self.remote, f"{group}_tx")

    def end_all(self, group):
        """What a test leaves pending would be asked about in the next one's time. Ended may be the newest copy only."""
        def ended():
            left = self.pending(group)
            for m in left:
                self.remote.end({**m, "group": f"{group}_tx", "msgId": m["properties"]["UNIQ_KEY"]}, remoting.ROLLBACK)
            return not left
        wait_for(ended, LIMIT_S, "a half topic without a message that pends")

    def delivered(self, topic):
        return self.remote.read_topic(topic)

    def types(self, topic, order_id):
        return sorted({m["tags"] for m in self.delivered(topic) if m["keys"] == order_id})

    def until_delivered(self, topic, order_id, tag):
        wait_for(lambda: tag in self.types(topic, order_id), LIMIT_S, f"{tag} in {topic}")

    def assert_whole(self, shop):
        shop.until_all_is_told()
        status, out, err = shop.audit()
        self.assertEqual(status, 0, out + err)


class SharedGroup(Interop):
    """The broker asks any member of a group about any half message of the group, whoever sent it."""

    def stray(self, order_id):
        """Somebody else's half message that looks like a word about an order of ours. He is not there to be asked."""
        self.strays.add(self.remote.send_half(CANCEL, b"{}", self.group + "_tx", tags="order.cancel", keys=order_id)["msgId"])

    def official(self, **options):
        client = cluster.client("TxProduce", topic=CANCEL, group=self.group + "_tx", **options)
        self.addCleanup(client.close)
        return client

    def checks(self, official, order_id, until):
        """What the official client was asked and answered, until that is enough. Members are asked in turn: with two of them
        and an even number of half messages each is asked about the same ones round after round. One more changes that."""
        seen, begin = [], time.monotonic()
        for n in itertools.count(1):
            while time.monotonic() < begin + 4 * n:
                with contextlib.suppress(TimeoutError):
                    seen.append(official.next("check", 1))
                if until(seen):
                    return seen
            self.assertLess(4 * n, LIMIT_S, seen)
            self.stray(order_id)

    def not_strays(self):
        return [m for m in self.pending(self.group) if m["properties"]["UNIQ_KEY"] not in self.strays]

    def test_each_decides_its_own_and_nobody_anothers(self):
        self.group, self.strays = "both", set()
        shop = self.open(self.group)
        sku = shop.sku(stock=20)
        reverse = [shop.place_pending(sku, "reverse")["id"] for _ in range(4)]
        forward = [shop.place_pending(sku, "forward")["id"] for _ in range(4)]
        ours = reverse + forward
        self.stray(reverse[0])
        official = self.official(tag="theirs", key="theirs", count=6, check="commit:3", check_odd="rollback:3",
                                 check_foreign="unknown")

        def enough(seen):
            decided = {c["keys"] for c in seen if c["mine"] and c["answer"] != "UNKNOW"}
            foreign = {c["transactionId"] for c in seen if not c["mine"]}
            about_ours = {c["keys"] for c in seen if not c["mine"] and c["transactionId"] not in self.strays}
            return len(decided) == 6 and foreign & self.strays and about_ours & set(reverse) and about_ours & set(forward)

        seen = self.checks(official, reverse[0], enough)
        self.assertEqual({c["answer"] for c in seen if not c["mine"]}, {"UNKNOW"})
        wait_for(lambda: shop.metrics()["till_broker_checks_foreign_total"] > 0, LIMIT_S, "a question about theirs")
        wait_for(lambda: any(shop.lines(o, "checkback") for o in ours), LIMIT_S, "a question about ours")
        self.assertEqual([shop.halves(o) for o in ours], [["UNKNOWN"]] * 8)

        paid = reverse[:2] + forward[:2]
        for order_id in paid:
            shop.scan_and_pay(shop.with_code(order_id))
            shop.until(order_id, "paid", LIMIT_S)
        shop.advance("12m", settled=False)
        for order_id in set(ours) - set(paid):
            shop.until(order_id, "cancelled", LIMIT_S)
        self.assert_whole(shop)

        told = {o: (self.types(CANCEL, o), self.types(PAID, o)) for o in ours}
        expected = {o: ([], []) for o in reverse[:2]} | {o: (["order.cancel"], []) for o in reverse[2:]}
        expected |= {o: ([], ["order.paid"]) for o in forward[:2]} | {o: (["order.cancelled"], []) for o in forward[2:]}
        self.assertEqual(told, expected)
        wait_for(lambda: not self.not_strays(), LIMIT_S, "an end of each by its sender")
        self.assertEqual({m["keys"] for m in self.delivered(CANCEL) if m["tags"] == "theirs"},
                         {"theirs-0", "theirs-2", "theirs-4"})
        # A question that crossed an end leaves a copy behind, which is pending until the broker asks about it once more.
        wait_for(lambda: {m["properties"]["UNIQ_KEY"] for m in self.pending(self.group)} == self.strays, LIMIT_S,
                 "only those that are nobody's to decide")

    def test_a_member_that_rolls_back_what_it_does_not_know_loses_no_message_of_ours(self):
        self.group, self.strays = "rude", set()
        shop = self.open(self.group)
        sku = shop.sku()
        cancelled = shop.place_pending(sku, "reverse")["id"]
        paid = shop.place_pending(sku, "forward")["id"]
        official = self.official(check_foreign="rollback")
        seen = self.checks(official, cancelled, lambda seen: {c["keys"] for c in seen if c["transactionId"] not in self.strays}
                           == {cancelled, paid})
        self.assertEqual({(c["mine"], c["answer"]) for c in seen}, {(False, "ROLLBACK_MESSAGE")})
        wait_for(lambda: not self.not_strays(), LIMIT_S, "a broker that has forgotten them")
        shop.scan_and_pay(shop.with_code(paid))
        self.until_delivered(PAID, paid, "order.paid")
        shop.advance("12m", settled=False)
        self.until_delivered(CANCEL, cancelled, "order.cancel")
        shop.until(cancelled, "cancelled", LIMIT_S)
        self.assert_whole(shop)


class Commanded(Interop):
    """order.cancel by the official producer. It says: the window is over, decide. Till looks for itself."""

    def produce(self, shop, *messages):
        """Tag, key and body each, by one client."""
        path = os.path.join(shop.data, "messages")
        with open(path, "w", encoding="utf-8") as f:
            f.writelines("\t".join(m) + "\n" for m in messages)
        with cluster.client("Produce", topic=CANCEL, file=path) as producer:
            for _ in messages:
                producer.next("sent")
            self.assertEqual(producer.close(), 0)

    @staticmethod
    def body(order, **more):
        return json.dumps({"id": "msg_of_theirs", "type": "order.cancel", "order": order["id"], "sequence": 9,
                           "amount": order["amount"], **more})

    @staticmethod
    def received(shop, order_id):
        return [row for row in shop.lines(order_id, "message") if "received" in row["detail"]]

    def counters(self, shop):
        values = shop.metrics()
        return {short: values[f"till_{name}_total"] for short, name in (
            ("received", "messages_received"), ("unknown", "messages_unknown"), ("dead", "messages_dead"),
            ("foreign", "broker_received_foreign"))}

    def state(self, shop, sku):
        """All but the timelines, and the versions: a check-back that came meanwhile is kept in the row."""
        seen = shop.snapshot()
        del seen["timelines"]
        seen["orders"] = [{k: v for k, v in order.items() if k != "version"} for order in seen["orders"]]
        return seen, shop.stock(sku)

    def test_before_its_time_about_strangers_and_in_other_words_it_changes_nothing(self):
        shop = self.open("early")
        sku = shop.sku()
        young, paid = shop.place_pending(sku, "reverse"), shop.place_pending(sku, "reverse")
        shop.scan_and_pay(paid)
        shop.until(paid["id"], "paid", LIMIT_S)
        shop.until_all_is_told()
        shop.until_all_is_received()  # what others have left in the topic
        before, counted = self.state(shop, sku), self.counters(shop)
        nobodys = "ord_" + shop.events(young["id"])[0]["id"].removeprefix("evt_")  # the mark is right, the order is none
        self.produce(
            shop,
            ("order.cancel", young["id"], self.body(young)),
            ("order.cancel", paid["id"], self.body(paid)),
            ("order.cancel", young["id"], "\x00{{{ no JSON"),  # what is to be decided stands in KEYS; the body decides nothing
            ("order.cancel", nobodys, self.body(young)),
            ("order.cancel", "ord_" + "0" * 29, self.body(young)),  # made up
            ("order.cancel", "nonsense", "nonsense"),
            ("order.cancel", young["id"] + " " + paid["id"], self.body(young)),  # RocketMQ's way to give two keys
            ("order.cancelled", young["id"], self.body(young, type="order.cancelled")),
            ("other", young["id"], self.body(young)))
        shop.until_all_is_received()
        wait_for(lambda: self.counters(shop)["received"] - counted["received"] == 4, LIMIT_S, "four that came about orders")
        now = self.counters(shop)
        self.assertEqual({k: now[k] - counted[k] for k in now}, {"received": 4, "unknown": 1, "dead": 0, "foreign": 3})
        self.assertEqual(self.state(shop, sku), before)
        self.assertEqual([len(self.received(shop, o["id"])) for o in (young, paid)], [2, 1])
        self.assertEqual([shop.halves(o["id"]) for o in (young, paid)], [["UNKNOWN"], ["UNKNOWN", "ROLLBACK"]])
        shop.scan_and_pay(young)  # as good as before
        shop.until(young["id"], "paid", LIMIT_S)
        self.assert_whole(shop)

    def test_what_came_too_often_is_a_dead_letter(self):
        shop = self.open("dead")
        sku = shop.sku()
        order = shop.place_pending(sku, "reverse")
        shop.until_all_is_received()
        before, counted = self.state(shop, sku), self.counters(shop)
        for times in (15, 16):  # so often before: the sixteenth delivery is the last
            answer = self.remote.send(CANCEL, self.body(order).encode(), tags="order.cancel", keys=order["id"], reconsumed=times)
            self.assertEqual(answer.code, remoting.OK)
        wait_for(lambda: self.counters(shop)["dead"] - counted["dead"] == 1, LIMIT_S, "a dead letter")
        shop.until_all_is_received()
        self.assertEqual(self.counters(shop)["received"] - counted["received"], 2)
        self.assertEqual(len(self.received(shop, order["id"])), 1)
        letters = shop.good("GET", "/v1/messages?topic=%25DLQ%25till_cancel")["data"]
        self.assertEqual([(m["tags"], m["keys"]) for m in letters], [("order.cancel", order["id"])])
        self.assertEqual(self.state(shop, sku), before)

    def test_when_the_window_is_over_the_receiver_acts_on_it(self):
        shop = self.open("late")
        sku = shop.sku()
        order = shop.place_pending(sku, "reverse")
        shop.advance("590s")
        over = time.monotonic() + instant(order["expires_at"]) - shop.now()
        shop.kill()  # the window ends while nobody is there: whatever is said then, the official client has said it before
        killed_s = instant(order["expires_at"]) - (over - time.monotonic())
        command = ("order.cancel", order["id"], self.body(order))
        self.produce(shop, command, command)
        time.sleep(max(0, over - time.monotonic()) + 0.5)
        shop.restart()
        wait_for(lambda: len(self.received(shop, order["id"])) >= 3, LIMIT_S, "theirs and ours")
        rows = shop.timeline(order["id"])
        closing = next(i for i, row in enumerate(rows) if row["kind"] == "state" and row["to"] == "closing")
        received = next(i for i, row in enumerate(rows) if row["kind"] == "message" and "received" in row["detail"])
        asked = next(i for i, row in enumerate(rows) if row["kind"] == "provider" and i > closing)
        self.assertGreater(instant(rows[closing]["at"]), killed_s)
        if instant(rows[received]["at"]) - instant(rows[closing]["at"]) < 4:  # after 5 s it is asked in any case
            self.assertLess(received, asked, "the provider is asked because it came")
        shop.advance("12m", settled=False)
        shop.until(order["id"], "cancelled", LIMIT_S)
        self.assertEqual(shop.stock(sku), (10, 0, 0))
        shop.until_all_is_told()
        shop.until_all_is_received()
        before, n = self.state(shop, sku), len(self.received(shop, order["id"]))
        self.assertEqual(self.remote.send(CANCEL, b"once more", tags="order.cancel", keys=order["id"]).code, remoting.OK)
        wait_for(lambda: len(self.received(shop, order["id"])) == n + 1, LIMIT_S, "one that comes when all is over")
        self.assertEqual(self.state(shop, sku), before)
        self.assertEqual([e["type"] for e in shop.events(order["id"])].count("order.cancelled"), 1)
        self.assert_whole(shop)


class Vanished(Interop):
    """Half messages that the broker has no more. What must be delivered is."""

    def place_both(self, shop, sku):
        return shop.place_pending(sku, "reverse")["id"], shop.place_pending(sku, "forward")["id"]

    def decide(self, shop, reverse, forward):
        """The one's window ends, the other is paid."""
        shop.scan_and_pay(shop.with_code(forward))
        shop.until(forward, "paid", LIMIT_S)
        shop.advance("12m", settled=False)
        shop.until(reverse, "cancelled", LIMIT_S)

    def assert_delivered(self, shop, reverse, forward):
        self.until_delivered(CANCEL, reverse, "order.cancel")
        self.until_delivered(PAID, forward, "order.paid")
        wait_for(lambda: [row for row in shop.lines(reverse, "message") if "received" in row["detail"]], LIMIT_S,
                 "a message that the cancel receiver got")
        self.assert_whole(shop)

    def test_dropped_after_its_last_check_it_is_delivered_all_the_same(self):
        self.remote_configure(transactionCheckMax=2)
        shop = self.open("dropped")
        reverse, forward = self.place_both(shop, shop.sku())
        self.assertIn(b"asks back 2 times every 1000 ms and then drops a half message", shop.log())

        def dropped():
            return {m["keys"] for m in self.remote.read_topic(remoting.DISCARDED_TOPIC)} >= {reverse, forward}

        wait_for(dropped, LIMIT_S, "half messages that were dropped")
        wait_for(lambda: not self.pending("dropped"), LIMIT_S, "a broker that asks no more")
        self.decide(shop, reverse, forward)
        self.assert_delivered(shop, reverse, forward)

    def test_lost_with_its_brokers_disk_a_plain_message_stands_for_it(self):
        shop = self.open("lost")
        reverse, forward = self.place_both(shop, shop.sku())
        self.lose_the_disk(shop)
        self.decide(shop, reverse, forward)
        shop.advance("70s", settled=False)  # what pauses between two tries
        self.assert_delivered(shop, reverse, forward)
        for order_id in (reverse, forward):
            self.assertIn("the half message is gone; sent plainly", str(shop.lines(order_id, "message")))
        for topic, order_id in ((CANCEL, reverse), (PAID, forward)):
            for m in self.delivered(topic):
                self.assertFalse(m["keys"] == order_id and "TRAN_MSG" in m["properties"], m)

    def remote_configure(self, **values):
        before = cluster.brokers[0].config

        def configure(values):
            with cluster.brokers[0].connect() as c:
                self.assertEqual(c.configure(**values).code, remoting.OK)

        configure(values)
        self.addCleanup(configure, {name: before[name] for name in values})

    def lose_the_disk(self, shop):
        broker = cluster.brokers[0]
        self.remote.close()
        broker.kill()
        shutil.rmtree(broker.config["storePathRootDir"])
        broker.start()
        broker.ready()
        create_topics(cluster)
        self.remote = broker.connect()
        shop.until_connected()


if __name__ == "__main__":
    unittest.main()

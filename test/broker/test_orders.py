# SPDX-License-Identifier: Apache-2.0
"""Orders over a real cluster: many each way at once, a fifth of the notifications lost, the broker killed in the middle."""
import collections
import concurrent.futures
import json
import os
import random
import unittest

from rocketmq import Cluster, need
from shop import CANCEL, EVENTS, PAID, Shop, by_order, create_topics, until_nothing_pends, wait_for

ORDERS = int(os.environ.get("TILL_TEST_ORDERS", "150"))  # of each policy; a thousand in the long suites
POLICIES = ("reverse", "forward")


def setUpModule():
    need()


class Orders(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster(config={"transactionCheckInterval": 3000})
        self.addCleanup(self.cluster.close)
        create_topics(self.cluster)
        self.till = Shop(self.cluster, "till", "--order.pay_within", "10m")
        self.addCleanup(self.till.clean)
        self.till.start()

    def received(self, topic):
        """What the official client reads of a topic, by order."""
        with self.cluster.brokers[0].connect() as c:
            there = c.count(topic)
        with self.cluster.client("Consume", topic=topic, group=f"look_{topic}", threads=1) as consumer:
            lines = [consumer.next("message") for _ in range(there)]
        bodies = by_order(lines)
        print(f"{topic}: {len(lines)} messages, {len(lines) - sum(map(len, bodies.values()))} repetitions, of {len(bodies)} orders")
        return bodies

    def place_all(self):
        sku = self.till.sku(stock=2 * ORDERS, price=100)
        with concurrent.futures.ThreadPoolExecutor(16) as buyers:
            return list(buyers.map(lambda policy: self.till.place(sku, 1, policy=policy), POLICIES * ORDERS))

    def pay(self, order):
        try:
            self.till.scan_and_pay(self.till.with_code(order["id"]))
        except AssertionError:
            print(json.dumps(self.till.order(order["id"])), json.dumps(self.till.timeline(order["id"]), indent=1))
            raise

    def pay_all(self, orders):
        with concurrent.futures.ThreadPoolExecutor(8) as buyers:
            list(buyers.map(self.pay, orders))

    def live(self):
        """Places, loses notifications, pays two thirds, kills the broker half way, and lets the windows end. All orders
        as they were placed, and the ids of those paid for."""
        self.till.faults(notify={"drop": 0.2}, seed=1)
        orders = self.place_all()
        paying = random.Random(7).sample(orders, 2 * len(orders) // 3)
        self.pay_all(paying[:len(paying) // 2])
        self.cluster.brokers[0].kill()
        self.pay_all(paying[len(paying) // 2:])
        orders += [self.till.place(self.till.sku(), 1, policy=policy) for policy in POLICIES]  # nobody waits for a broker
        self.cluster.brokers[0].start()
        self.cluster.brokers[0].ready()
        self.till.until_connected()
        for _ in range(16):
            self.till.advance("40s", settled=False)
        self.till.no_faults()
        wait_for(lambda: not any(self.till.good("GET", f"/v1/orders?state={s}")["data"]
                                 for s in ("placed", "awaiting_payment", "closing")), 120, "orders that ended")
        for _ in range(4):
            self.till.advance("70s", settled=False)  # what pauses between two tries
        self.till.until_all_is_told()
        return orders, {order["id"] for order in paying}

    def test_many_each_way(self):
        orders, paying = self.live()
        ended = {o["id"]: o for o in self.till.all("/v1/orders")}
        self.assertEqual(set(ended), {o["id"] for o in orders})
        for order in ended.values():
            self.assertEqual(order["state"], "paid" if order["id"] in paying else "cancelled", order)
        status, out, err = self.till.audit()
        self.assertEqual(status, 0, out + err)
        self.assertEqual(self.till.metrics()["till_deadlines_unaccounted"], 0)
        self.assert_facts(ended)
        self.assert_told(orders, paying)
        until_nothing_pends(self.cluster)

    def assert_facts(self, orders):
        """Every event of every order, in its order, in the topic of facts."""
        facts, events = self.received(EVENTS), collections.defaultdict(list)
        for event in self.till.events():
            events[event["order"]].append((event["id"], event["type"], event["sequence"]))
        for order in orders:
            self.assertEqual([(b["id"], b["type"], b["sequence"]) for b in facts[order]], events[order])

    def assert_told(self, orders, paying):
        """What the topics of the two policies say of each order, and of no other."""
        told = {topic: {order: sorted(b["type"] for b in bodies) for order, bodies in self.received(topic).items()}
                for topic in (CANCEL, PAID)}
        forward = {o["id"] for o in orders if o["policy"] == "forward"}
        reverse = {o["id"] for o in orders if o["policy"] == "reverse"}
        self.assertGreater(min(len(forward & paying), len(reverse & paying), len(forward - paying), len(reverse - paying)), 0)
        self.assertEqual(told[PAID], {o: ["order.paid"] for o in forward & paying})
        cancelled = {o: ["order.cancelled"] for o in forward - paying} | {o: ["order.cancel"] for o in reverse - paying}
        # And those whose money was found only when their window was over.
        late = {e["order"] for e in self.till.events() if e["type"] == "order.closing"} & reverse & paying
        surely = {o: types for o, types in told[CANCEL].items() if o not in late}
        self.assertEqual(surely, cancelled)
        self.assertEqual({o: types for o, types in told[CANCEL].items() if o in late and types != ["order.cancel"]}, {})


if __name__ == "__main__":
    unittest.main()

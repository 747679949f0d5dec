# SPDX-License-Identifier: Apache-2.0
"""Orders over a real cluster: many each way, a fifth of the notifications lost, the broker killed in the middle."""
import collections
import concurrent.futures
import json
import os
import random
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "http"))

from harness import Till, wait_for
from rocketmq import Cluster, need

ORDERS = int(os.environ.get("TILL_TEST_ORDERS", "300"))  # a thousand in the long suites
TOPICS = ("till_order_cancel", "till_order_paid", "till_order_events")


def setUpModule():
    need()


class Orders(unittest.TestCase):
    """Each test has a cluster and a shop of its own."""

    def setUp(self):
        self.cluster = Cluster(config={"transactionCheckInterval": 3000})
        self.addCleanup(self.cluster.close)
        for topic in TOPICS:
            self.cluster.create_topic(topic)
        self.till = Till("--fresh", "--broker.url", f"rocketmq://{self.cluster.name_server}?group=till",
                         "--order.pay_within", "10m").start()
        self.addCleanup(self.till.clean)
        wait_for(lambda: self.broker()["connected"], 30, "a connection to the broker")

    # what can be seen

    def broker(self):
        return self.till.good("GET", "/readyz?verbose")["broker"]

    def line(self, name):
        """One line of the audit, which as a whole must hold."""
        status, out, err = self.till.audit()
        self.assertEqual(status, 0, out + err)
        return next(x for x in json.loads(out)["lines"] if x["name"] == name)

    def until_all_is_told(self, limit_s=120):
        """The broker has been told all it must be told, and knows every event."""
        wait_for(lambda: self.line("broker_told")["verdict"] == "holds", limit_s, "a broker that has been told")
        wait_for(lambda: self.broker()["events_unpublished"] == 0, limit_s, "events that are published")

    def until_nothing_pends(self, limit_s=90):
        """The broker's own check service has walked over every half message and found it ended."""
        with self.cluster.brokers[0].connect() as c:
            half = "RMQ_SYS_TRANS_HALF_TOPIC"
            wait_for(lambda: c.consumer_offset("CID_RMQ_SYS_TRANS", half) == c.max_offset(half), limit_s,
                     "a half topic without a message that pends")

    def received(self, topic):
        """What the official client reads of a topic, oldest first, each id once, by order."""
        with self.cluster.brokers[0].connect() as c:
            there = c.count(topic)
        with self.cluster.client("Consume", topic=topic, group=f"look_{topic}", threads=1) as consumer:
            lines = [consumer.next("message") for _ in range(there)]
        bodies, seen, copies = collections.defaultdict(list), set(), 0
        for line in lines:
            body = json.loads(line["body"])
            self.assertEqual(line["tags"], body["type"])
            self.assertEqual(line["keys"], body["order"])
            copies += body["id"] in seen
            if body["id"] not in seen:
                bodies[body["order"]].append(body)
            seen.add(body["id"])
        print(f"{topic}: {len(lines)} messages, {copies} repetitions, of {len(bodies)} orders")
        return bodies

    # what happens

    def place_all(self, policy):
        sku = self.till.sku(stock=ORDERS, price=100)
        with concurrent.futures.ThreadPoolExecutor(16) as buyers:
            return list(buyers.map(lambda _: self.till.place(sku, 1, policy=policy), range(ORDERS)))

    def pay(self, order):
        """On a busy machine the code comes after the answer of the placing."""
        def with_code():
            now = self.till.order(order["id"])
            return now if "qr_code" in now.get("payment", {}) else None
        try:
            self.till.scan_and_pay(wait_for(with_code, 60, "a code"))
        except AssertionError:
            print(json.dumps(self.till.order(order["id"])), json.dumps(self.till.timeline(order["id"]), indent=1))
            raise

    def pay_all(self, orders):
        with concurrent.futures.ThreadPoolExecutor(8) as buyers:
            list(buyers.map(self.pay, orders))

    def live(self, policy):
        """Places, loses notifications, pays two thirds, kills the broker half way, and lets the windows end."""
        self.till.faults(notify={"drop": 0.2}, seed=1)
        orders = self.place_all(policy)
        paying = random.Random(7).sample(orders, 2 * ORDERS // 3)
        self.pay_all(paying[:len(paying) // 2])
        self.cluster.brokers[0].kill()
        self.pay_all(paying[len(paying) // 2:])
        self.till.place(self.till.sku(), 1, policy=policy)  # nobody waits for a broker that is away
        self.cluster.brokers[0].start()
        self.cluster.brokers[0].ready()
        wait_for(lambda: self.broker()["connected"], 60, "a connection made again")
        for _ in range(16):
            self.till.advance("40s", settled=False)
        self.till.no_faults()
        wait_for(lambda: not any(self.till.good("GET", f"/v1/orders?state={s}")["data"]
                                 for s in ("placed", "awaiting_payment", "closing")), 120, "orders that ended")
        return {order["id"] for order in paying}

    def ended(self, policy):
        paying = self.live(policy)
        orders = {o["id"]: o for o in self.till.all("/v1/orders")}
        self.assertEqual(len(orders), ORDERS + 1)
        for order in orders.values():
            self.assertEqual(order["state"], "paid" if order["id"] in paying else "cancelled", order)
        for _ in range(4):
            self.till.advance("70s", settled=False)  # what pauses between two tries
        self.until_all_is_told()
        status, out, err = self.till.audit()
        self.assertEqual(status, 0, out + err)
        self.assertEqual(self.till.metrics()["till_deadlines_unaccounted"], 0)
        self.assert_facts(orders)
        return paying, set(orders) - paying

    def assert_facts(self, orders):
        """Every event of every order, in its order, in the topic of facts."""
        facts, events = self.received("till_order_events"), collections.defaultdict(list)
        for event in self.till.events():
            events[event["order"]].append((event["id"], event["type"], event["sequence"]))
        for order in orders:
            self.assertEqual([(b["id"], b["type"], b["sequence"]) for b in facts[order]], events[order])

    def types(self, topic):
        return {order: sorted(b["type"] for b in bodies) for order, bodies in self.received(topic).items()}

    def test_many_in_reverse(self):
        paid, cancelled = self.ended("reverse")
        told = self.types("till_order_cancel")
        self.assertEqual({o for o, types in told.items() if types != ["order.cancel"]}, set())
        self.assertEqual(cancelled - set(told), set(), "a cancelled order nobody was told to cancel")
        self.assertEqual(set(told) & paid - self.was_closing(paid), set(), "a paid order that was told to be cancelled")
        self.assertEqual(self.types("till_order_paid"), {})
        self.until_nothing_pends()

    def test_many_in_forward(self):
        paid, cancelled = self.ended("forward")
        self.assertEqual(self.types("till_order_paid"), {o: ["order.paid"] for o in paid})
        self.assertEqual(self.types("till_order_cancel"), {o: ["order.cancelled"] for o in cancelled})
        self.until_nothing_pends()

    def was_closing(self, orders):
        """Those whose money was found only when their window was over."""
        return {e["order"] for e in self.till.events() if e["type"] == "order.closing" and e["order"] in orders}


if __name__ == "__main__":
    unittest.main()

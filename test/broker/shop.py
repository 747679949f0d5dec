# SPDX-License-Identifier: Apache-2.0
"""A `till dev` over a real cluster, and what can be seen of the two from outside."""
import collections
import json
import os
import sys

import remoting

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "http"))
from harness import Till, instant, wait_for  # noqa: E402, F401

CANCEL, PAID, EVENTS = "till_order_cancel", "till_order_paid", "till_order_events"


def create_topics(cluster):
    for topic in (CANCEL, PAID, EVENTS):
        cluster.create_topic(topic)


class Shop(Till):
    """Its groups begin with `group`: shops on one cluster need different ones."""

    def __init__(self, cluster, group="till", *flags):
        super().__init__("--broker.url", f"rocketmq://{cluster.name_server}?group={group}", *flags)
        self.cluster, self.group = cluster, group

    def start(self):
        super().start()
        self.until_connected()
        return self

    def broker(self):
        return self.good("GET", "/readyz?verbose")["broker"]

    def until_connected(self):
        wait_for(lambda: self.broker()["connected"], 60, "a connection to the broker")

    def lines(self, order_id, kind):
        return [row for row in self.timeline(order_id) if row["kind"] == kind]

    def halves(self, order_id):
        """What was said of its half message: UNKNOWN once the broker has it, then how it ended."""
        return [row["answer"] for row in self.lines(order_id, "half")]

    def place_pending(self, sku, policy, **more):
        """An order with a code, whose half message the broker has."""
        order = self.place(sku, policy=policy, **more)
        wait_for(lambda: self.halves(order["id"]) == ["UNKNOWN"], 60, "a half message at the broker")
        return self.with_code(order["id"])

    def with_code(self, order_id):
        """On a busy machine the code comes after the answer of the placing."""
        def coded():
            now = self.order(order_id)
            return now if "qr_code" in now.get("payment", {}) else None
        return wait_for(coded, 60, "a code")

    def audit_line(self, name):
        """One line of the audit, which as a whole must hold."""
        status, out, err = self.audit()
        assert status == 0, out + err
        return next(x for x in json.loads(out)["lines"] if x["name"] == name)

    def until_all_is_told(self, limit_s=120):
        """The broker has been told all it must be told, and knows every event."""
        wait_for(lambda: self.audit_line("broker_told")["verdict"] == "holds", limit_s, "a broker that has been told")
        wait_for(lambda: self.broker()["events_unpublished"] == 0, limit_s, "events that are published")

    def until_all_is_received(self, limit_s=60):
        """The cancel receiver is through with its topic."""
        with self.cluster.brokers[0].connect() as c:
            wait_for(lambda: c.lag(f"{self.group}_cancel", CANCEL) == 0, limit_s, "a topic that was consumed")


def pending(connection, group=None):
    """The half messages (of a producer group) that its broker has not found ended: what its check service does not find
    ended it writes anew behind what it has walked over."""
    half, found = remoting.HALF_TOPIC, []
    at = connection.consumer_offset("CID_RMQ_SYS_TRANS", half) or 0
    while batch := connection.read_queue(half, 0, at):
        found += batch
        at = batch[-1]["queueOffset"] + 1
    return [m for m in found if group in (None, m["properties"]["PGROUP"])]


def until_nothing_pends(cluster, limit_s=90):
    with cluster.brokers[0].connect() as c:
        wait_for(lambda: not pending(c), limit_s, "a half topic without a message that pends")


def by_order(messages):
    """Bodies by order, each id once, oldest first, of what the official client or remoting.py has read."""
    bodies, seen = collections.defaultdict(list), set()
    for message in messages:
        body = json.loads(message["body"])
        assert message["tags"] == body["type"] and message["keys"] == body["order"], message
        if body["id"] not in seen:
            bodies[body["order"]].append(body)
        seen.add(body["id"])
    return bodies

# SPDX-License-Identifier: Apache-2.0
"""`till bench txmsg` against a real broker: what it says it did, the broker has."""
import json
import os
import subprocess
import unittest

import remoting
import rocketmq

TILL = os.path.join(rocketmq.ROOT, "build", "till")
IN_FLIGHT, N = 8, 400
MESSAGES = N + N // 20 + IN_FLIGHT  # with those that warm it up
LIMIT_S = 120


def setUpModule():
    rocketmq.need()


class Txmsg(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Nobody is asked: what is not ended stays as it is.
        cls.cluster = rocketmq.Cluster(config={"transactionCheckInterval": 3600000})
        cls.addClassCleanup(cls.cluster.close)
        cls.broker = cls.cluster.brokers[0].connect()
        cls.addClassCleanup(cls.broker.close)

    def run_bench(self, topic, *more):
        self.broker.create_topic(topic, queues=2)
        before = self.broker.count(remoting.HALF_TOPIC)
        done = subprocess.run([TILL, "bench", "txmsg", "--json", "--namesrv", self.cluster.name_servers, "--topic", topic,
                               "--messages", str(N), "--in-flight", str(IN_FLIGHT), "--size", "200", *more],
                              stdout=subprocess.PIPE, timeout=LIMIT_S, check=True)
        return json.loads(done.stdout), self.broker.count(remoting.HALF_TOPIC) - before

    def delivered(self, topic, n):
        """Messages with a transaction's body there, once there are n of them. One-way ends arrive when they arrive."""
        rocketmq.wait_for(f"{n} messages", lambda: self.broker.count(topic, 2) >= n, LIMIT_S)
        return [m["body"] for m in self.broker.read_topic(topic, 2) if len(m["body"]) == 200]

    def test_every_half_message_is_committed_once_in_both_modes(self):
        said, halves = self.run_bench("bench-commit")
        self.assertEqual(halves, 2 * MESSAGES)
        for mode in ("oneway", "acked"):
            self.assertEqual((said[mode]["messages"], said[mode]["errors"]), (N, 0))
        bodies = self.delivered("bench-commit", 2 * MESSAGES + 2)  # and one that sets each mode going
        self.assertEqual((len(bodies), len(set(bodies))), (2 * MESSAGES, 2 * MESSAGES))

    def test_what_is_rolled_back_or_left_undecided_is_not_delivered(self):
        said, halves = self.run_bench("bench-mixed", "--mode", "acked", "--rollback", "50", "--unknown", "50")
        self.assertEqual((said["errors"], halves), (0, MESSAGES))
        fates = [m["body"][16] for m in self.broker.read_topic(remoting.HALF_TOPIC, 1)]
        committed = fates[-MESSAGES:].count(0)
        self.assertLess(committed, MESSAGES / 2)
        self.assertEqual(len(self.delivered("bench-mixed", committed + 1)), committed)


if __name__ == "__main__":
    unittest.main()

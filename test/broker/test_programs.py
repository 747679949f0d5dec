# SPDX-License-Identifier: Apache-2.0
"""The C programs that need a real cluster: the client library, and the contract both brokers keep. Side by side, because
most of their time is waiting for the broker to ask back."""
import os
import re
import subprocess
import threading
import unittest

from rocketmq import ROOT, Cluster, need

LIMIT_S = 420


def setUpModule():
    need()


class Program(threading.Thread):
    """Runs a cmocka program against a cluster of its own; `cases` and `text` when it has ended."""

    def __init__(self, name, **cluster):
        super().__init__(daemon=True)
        self.name_, self.cluster, self.text, self.status = name, cluster, "", None
        self.start()

    def run(self):
        with Cluster(**self.cluster) as cluster:
            done = subprocess.run([os.path.join(ROOT, "build", "test", "broker", self.name_)], text=True, errors="replace",
                                  env=dict(os.environ, TILL_TEST_NAMESRV=cluster.name_server, CMOCKA_MESSAGE_OUTPUT="TAP"),
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S, check=False)
        self.text, self.status = done.stdout, done.returncode


class Programs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        two = {"config": {"autoCreateTopicEnable": True, "transactionCheckInterval": 2000}}
        cls.running = {"test_broker_real": Program("test_broker_real", brokers=2, **two),
                       "test_broker_contract_real": Program("test_broker_contract_real", **two)}

    def ended(self, name, least):
        program = self.running[name]
        program.join(LIMIT_S + 120)
        self.assertEqual(program.status, 0, program.text[-6000:])
        cases = re.findall(r"^ok \d+ - ", program.text, re.M)
        self.assertGreaterEqual(len(cases), least, program.text[-6000:])

    def test_the_client_library(self):
        self.ended("test_broker_real", 13)

    def test_the_contract_both_brokers_keep(self):
        self.ended("test_broker_contract_real", 17)


if __name__ == "__main__":
    unittest.main()

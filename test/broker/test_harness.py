# SPDX-License-Identifier: Apache-2.0
"""The cluster the broker tests stand on does itself what they expect of it."""
import glob
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest

import remoting
import rocketmq

LIMIT_S = 60  # for what takes a second or two; the machine may be busy


def setUpModule():
    rocketmq.need()


def listening(pid):
    """Addresses a process listens on, as /proc writes them: hex, in the machine's order, 4 or 16 bytes."""
    inodes = set()
    for fd in glob.glob(f"/proc/{pid}/fd/*"):
        try:
            inodes.update(re.findall(r"^socket:\[(\d+)\]$", os.readlink(fd)))
        except OSError:
            continue
    found = []
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{table}", encoding="ascii") as f:
            for fields in (line.split() for line in f):
                if fields[3] == "0A" and fields[9] in inodes:
                    found.append(fields[1])
    return found


def runs(pid):
    """Neither gone nor dead and only waiting for its parent to notice."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


class Plain(unittest.TestCase):
    """One cluster for all tests, each with a topic of its own."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = rocketmq.Cluster()
        cls.addClassCleanup(cls.cluster.close)
        cls.broker = cls.cluster.brokers[0]

    def test_every_port_is_on_loopback(self):
        ports = listening(self.broker.jvm.pid) + listening(self.cluster.servers[0].jvm.pid)
        self.assertEqual(len(ports), 4, ports)  # name server; broker, its fast port, its port for replicas
        for address in ports:
            self.assertRegex(address, r"^(0{16}F{4}0{4}|0{16}0{4}F{4}|)0100007F:")

    def test_what_the_official_producer_sends_the_official_consumer_gets(self):
        self.cluster.create_topic("plain")
        consumer = self.cluster.client("Consume", topic="plain", group="plain_group", tags="wanted")
        with consumer, self.broker.connect() as c, \
                self.cluster.client("Produce", topic="plain", tag="wanted", key="k", count=3, body="你好") as producer:
            self.assertEqual(c.send("plain", b"x", tags="other").code, remoting.OK)
            ids = {producer.next("sent")["msgId"] for _ in range(3)}
            self.assertEqual(producer.close(), 0)
            got = [consumer.next("message") for _ in range(3)]
            self.assertEqual({m["msgId"] for m in got}, ids)
            self.assertEqual({m["keys"] for m in got}, {"k-0", "k-1", "k-2"})
            self.assertEqual({(m["tags"], m["body"]) for m in got}, {("wanted", "你好")})
            self.assertEqual(consumer.close(), 0)

    def test_a_killed_broker_comes_back_with_its_messages(self):
        self.cluster.create_topic("kept")
        with self.broker.connect() as c:
            for i in range(10):
                self.assertEqual(c.send("kept", b"%d" % i, keys=f"key-{i}").code, remoting.OK)
            before = c.bytes_written()
        self.broker.restart(signal.SIGKILL)
        with self.broker.connect() as c:
            self.assertEqual([m["body"] for m in c.read_topic("kept")], [b"%d" % i for i in range(10)])
            self.assertGreaterEqual(c.bytes_written(), before)
            self.assertEqual(c.send("kept", b"after").code, remoting.OK)
            self.assertEqual(c.count("kept"), 11)

    def test_official_and_own_member_of_a_group_are_asked_about_each_others_halves(self):
        self.cluster.create_topic("shared")
        with self.cluster.client("TxProduce", topic="shared", group="shared_tx", key="theirs", count=1, check="unknown",
                                 check_foreign="commit") as official, self.broker.connect() as own:
            official.next("ready")
            self.assertEqual(own.send_half("shared", b"ours", "shared_tx", keys="ours")["queueOffset"], 1)
            while (check := official.next("check", LIMIT_S))["keys"] != "ours":
                self.assertEqual((check["mine"], check["answer"]), (True, "UNKNOW"))
            self.assertEqual((check["mine"], check["answer"]), (False, "COMMIT_MESSAGE"))
            rocketmq.wait_for("a delivery", lambda: own.count("shared") == 1, LIMIT_S)
            self.assertEqual(own.read_topic("shared")[0]["keys"], "ours")
            self.assertEqual(own.heartbeat("shared_tx").code, remoting.OK)
            handle, message, _ = own.next_check(LIMIT_S)
            while message["keys"] != "theirs":
                handle, message, _ = own.next_check(LIMIT_S)
            self.assertEqual(own.end(handle, remoting.COMMIT, from_check=True).code, remoting.OK)
            rocketmq.wait_for("the other", lambda: own.count("shared") == 2, LIMIT_S)
            self.assertEqual({m["keys"] for m in own.read_topic("shared")}, {"ours", "theirs"})

    def test_a_second_broker_gets_a_route(self):
        second = self.cluster.add_broker()
        self.addCleanup(self.cluster.brokers.remove, second)
        self.addCleanup(second.kill)
        self.cluster.create_topic("both", queues=2)
        route = remoting.route(self.cluster.name_server, "both")
        self.assertEqual({d["brokerName"]: d["brokerAddrs"] for d in route["brokerDatas"]},
                         {b.name: {"0": b.address} for b in self.cluster.brokers})
        with second.connect() as c:
            self.assertEqual(c.send("both", b"x").code, remoting.OK)


class Guarded(unittest.TestCase):
    """ACLs and TLS, both at once."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = rocketmq.Cluster(acl=True, tls="enforcing")
        cls.addClassCleanup(cls.cluster.close)
        cls.broker = cls.cluster.brokers[0]
        cls.cluster.create_topic("guarded")

    def test_a_wrong_key_is_refused_and_the_right_one_is_not(self):
        with self.broker.connect(secret_key="wrong") as wrong, self.broker.connect(access_key=None) as nobody, \
                self.broker.connect() as right:
            self.assertEqual(wrong.send("guarded", b"x").code, remoting.NO_PERMISSION)
            self.assertEqual(nobody.send("guarded", b"x").code, remoting.NO_PERMISSION)
            self.assertEqual(right.send("guarded", b"x").code, remoting.OK)

    def test_a_user_may_do_what_he_was_allowed_and_no_more(self):
        self.cluster.create_topic("other")
        with self.broker.connect() as admin:
            self.assertEqual(admin.create_user("till", "till-secret").code, remoting.OK)
            self.assertEqual(admin.create_acl("till", ("Topic:guarded", "Pub")).code, remoting.OK)
        with self.broker.connect(access_key="till", secret_key="till-secret") as till:
            self.assertEqual(till.send("guarded", b"x").code, remoting.OK)
            self.assertEqual(till.send("other", b"x").code, remoting.NO_PERMISSION)

    def test_the_official_producer_speaks_tls_and_signs(self):
        with self.cluster.client("Produce", topic="guarded") as producer:
            self.assertEqual(producer.next("sent")["status"], "SEND_OK")

    def test_without_tls_nothing_is_answered(self):
        with self.assertRaises((ConnectionError, TimeoutError)):
            with self.broker.connect(tls=False) as c:
                c.runtime_info()


class Ends(unittest.TestCase):
    def test_no_jvm_outlives_a_test_that_was_killed(self):
        program = ("import sys, tempfile, rocketmq\n"
                   "s = rocketmq.NameServer(sys.argv[1]); s.ready()\n"
                   "c = rocketmq.Client(sys.argv[1], 'TxProduce', namesrv=s.address, topic='t', group='g', count=0)\n"
                   "c.next('ready'); print(s.jvm.pid, c.pid, flush=True); input()\n")
        with tempfile.TemporaryDirectory() as dir, \
                subprocess.Popen([sys.executable, "-B", "-c", program, dir], cwd=rocketmq.HERE, stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True) as starter:
            pids = [int(word) for word in starter.stdout.readline().split()]
            self.assertEqual([runs(pid) for pid in pids], [True, True])
            starter.kill()
            starter.wait()
            for pid in pids:
                rocketmq.wait_for("a JVM's end", lambda p=pid: not runs(p), LIMIT_S)

    def test_a_client_whose_main_throws_ends(self):
        with tempfile.TemporaryDirectory() as dir:
            client = rocketmq.Client(dir, "Consume", namesrv="127.0.0.1:1", topic="t", group="no group!")
            with client, self.assertRaisesRegex(EOFError, "ended with 1"):
                client.next(limit_s=LIMIT_S)


if __name__ == "__main__":
    unittest.main()

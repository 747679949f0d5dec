#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real Apache RocketMQ cluster on loopback, for tests and for people.

    with Cluster(brokers=1) as cluster:            # name server and brokers up, with routes
        cluster.name_server                        # "127.0.0.1:20101"
        cluster.brokers[0].address                 # "127.0.0.1:20111"
        with cluster.brokers[0].connect() as c:    # remoting.Connection
            c.create_topic("t")

    test/broker/rocketmq.py fetch                  # the jars, and nothing else; exit 3 where they cannot be had
    test/broker/rocketmq.py up [--brokers N] ...   # prints the addresses, stops everything on Ctrl-C

The jars come through Maven into build-rocketmq/ (once). Each process has a folder of its own below one temporary folder,
small heaps and ports nobody else had a moment ago, and all of it listens on 127.0.0.1 only. A JVM ends when the pipe to its
stdin closes (java/Launch.java), so none outlives this program, even killed. What they write is in `PROCESS.log`.
"""
import argparse
import contextlib
import glob
import json
import os
import queue
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import remoting

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(1, os.path.join(ROOT, "test"))
import fetched
from fetched import Unavailable

# Not inside build/: that one is meson's, which makes it anew when it likes.
STORE = os.path.join(ROOT, "build-rocketmq")
FETCH_LIMIT_S = 600
START_LIMIT_S = 180  # some 8 s on an idle machine
STOP_LIMIT_S = 60
POLL_S = 0.05
# Below what the system gives to outgoing connections, or one of those could take a port just found free.
PORTS = os.environ.get("TILL_BROKER_PORTS", "20000-31999")
SERVICES = {"META-INF/service/org.apache.rocketmq.store.ha.HAService": "LoopbackHAService\n"}
ADMIN = ("admin", "admin-secret")  # of a cluster with acl=True


# --- Jars and our own classes


def class_path():
    """Fetches the jars and compiles our helpers where that is still to be done; the class path. Unavailable."""
    fetched.need_programs("java", "javac", "mvn")
    lib, classes = os.path.join(STORE, "lib"), os.path.join(STORE, "classes")
    pom, sources = os.path.join(HERE, "pom.xml"), sorted(glob.glob(os.path.join(HERE, "java", "*.java")))
    with fetched.locked(STORE):
        fetched.maven_jars(lib, pom, FETCH_LIMIT_S)
        fetched.java_classes(classes, os.path.join(lib, "*"), [pom], sources, SERVICES)
    return os.path.join(lib, "*") + ":" + classes


def need():
    """For setUpModule(): skips the tests here where there is no RocketMQ, fails them in CI."""
    try:
        return class_path()
    except Unavailable as e:
        if os.environ.get("CI") == "true":
            raise
        print(f"skipped: no RocketMQ to test against: {e}", file=sys.stderr, flush=True)
        raise unittest.SkipTest(f"no RocketMQ: {e}") from None


# --- Ports


def _is_free(port):
    for host in ("127.0.0.1", ""):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((host, port))
            except OSError:
                return False
    return True


_given = set()


def free_port(around=(0,)):
    """A port that is free at each of the offsets: a broker takes its own, the one two below and the one above."""
    first, last = (int(p) for p in PORTS.split("-"))
    for _ in range(1000):
        port = random.randint(first + 2, last - 1)
        taken = {port + d for d in around}
        if not taken & _given and all(_is_free(p) for p in taken):
            _given.update(taken)
            return port
    raise OSError(f"no free ports in {PORTS}")


# --- Processes


class Jvm:
    """One JVM in a process group of its own. `log`: where its output goes; stdout too, unless it is `talk`ed with."""

    def __init__(self, dir, main, args, heap_mb=256, properties=(), options=(), talk=False):
        os.makedirs(dir, exist_ok=True)
        self.log = os.path.join(dir, "output.log")
        command = ["java", f"-Xms{min(heap_mb, 64)}m", f"-Xmx{heap_mb}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                   "-XX:-UsePerfData", f"-Duser.home={dir}", f"-Djava.io.tmpdir={dir}", f"-Drocketmq.home.dir={dir}",
                   "-Drocketmq.client.logUseSlf4j=false",
                   f"-Drmq.logback.configurationFile={os.path.join(HERE, 'logback.xml')}",
                   *(f"-D{p}" for p in properties), *options, "-cp", class_path(), main, *args]
        env = {k: v for k, v in os.environ.items() if not k.startswith(("ROCKETMQ_", "NAMESRV_", "JAVA_TOOL_"))}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, cwd=dir, env=dict(env, ROCKETMQ_HOME=dir), stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE if talk else log, stderr=log, start_new_session=True)

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def tail(self, n=2000):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()[-n:]

    def stop(self, how=signal.SIGTERM, limit_s=STOP_LIMIT_S):
        """Its exit status. SIGTERM: RocketMQ's own graceful shutdown, by force when that takes too long."""
        if self.alive():
            self.process.send_signal(how)
            try:
                self.process.wait(limit_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
        status = self.process.wait()
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        return status

    def kill(self):
        return self.stop(signal.SIGKILL)


class Client(Jvm):
    """One of our programs over the official client (java/*.java): JSON objects, one a line. Ends when closed."""

    def __init__(self, dir, main, **options):
        args = [text for k, v in options.items() for text in ("--" + k.replace("_", "-"), str(v))]
        super().__init__(tempfile.mkdtemp(prefix=main.lower() + "-", dir=dir), main, args, heap_mb=128, talk=True)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with self.process.stdout as out:
            for line in out:
                if line.startswith(b"{"):
                    self.lines.put(json.loads(line))
        self.lines.put(None)

    def next(self, event=None, limit_s=START_LIMIT_S):
        """The next line, of that event where one is named (others are dropped). TimeoutError, EOFError; a failure of its
        own that was not asked for is AssertionError."""
        until = time.monotonic() + limit_s
        while True:
            try:
                line = self.lines.get(timeout=max(0, until - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"no {event or 'line'} within {limit_s} s; {self.tail()}") from None
            if line is None:
                self.lines.put(None)
                raise EOFError(f"ended with {self.process.wait()}; {self.tail()}")
            if event in (None, line["event"]):
                return line
            if line["event"] == "failed":
                raise AssertionError(f"{line}; {self.tail()}")

    def rest(self, event=None, quiet_s=0.0):
        """What has come, until nothing came for so long."""
        lines = []
        with contextlib.suppress(TimeoutError, EOFError):
            while True:
                lines.append(self.next(event, quiet_s))
        return lines

    def close(self):
        """Lets it end by itself; its exit status."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
        return self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def wait_for(what, condition, limit_s, processes=()):
    """The condition's first true value; TimeoutError names what never came. A process that ends ends the wait."""
    until = time.monotonic() + limit_s
    while True:
        with contextlib.suppress(OSError, TimeoutError):
            if value := condition():
                return value
        for process in processes:
            if not process.alive():
                raise AssertionError(f"ended instead of {what}: {process.tail()}")
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not within {limit_s} s; {' '.join(p.tail() for p in processes)}")
        time.sleep(POLL_S)


def _write_config(file, values):
    with open(file, "w", encoding="utf-8") as f:
        for k, v in values.items():
            f.write(f"{k}={remoting._text(v)}\n")


class NameServer:
    def __init__(self, dir, properties=()):
        self.dir, self.properties = dir, properties
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        os.makedirs(dir, exist_ok=True)
        self.start()

    def start(self):
        config = os.path.join(self.dir, "namesrv.conf")
        _write_config(config, {"listenPort": self.port, "bindAddress": "127.0.0.1",
                               "kvConfigPath": os.path.join(self.dir, "kv.json")})
        self.jvm = Jvm(self.dir, "Launch", ["namesrv", "-c", config], 128, self.properties)

    def ready(self):
        wait_for("a name server", lambda: socket.create_connection(("127.0.0.1", self.port), 1).close() is None,
                 START_LIMIT_S, [self.jvm])

    def stop(self, how=signal.SIGTERM):
        return self.jvm.stop(how)


class Broker:
    """A master. Its store stays where it is: stop() or kill(), then start(), is a restart."""

    def __init__(self, cluster, name, config, heap_mb=384, properties=(), options=()):
        self.cluster, self.name, self.heap_mb = cluster, name, heap_mb
        self.properties, self.options = properties, options
        self.dir = os.path.join(cluster.dir, name)
        self.port = free_port((-2, 0, 1))
        self.address = f"127.0.0.1:{self.port}"
        store = os.path.join(self.dir, "store")
        os.makedirs(self.dir, exist_ok=True)
        self.config = {
            "brokerClusterName": "test", "brokerName": name, "brokerId": 0, "brokerRole": "ASYNC_MASTER",
            "flushDiskType": "ASYNC_FLUSH", "brokerIP1": "127.0.0.1", "brokerIP2": "127.0.0.1",
            "bindAddress": "127.0.0.1", "listenPort": self.port, "haListenPort": self.port + 1,
            "storePathRootDir": store, "storePathCommitLog": os.path.join(store, "commitlog"),
            # Small files: they are sparse, but a broker touches some of them at start.
            "mappedFileSizeCommitLog": 100 << 20, "mappedFileSizeTimerLog": 10 << 20, "maxHashSlotNum": 100000,
            "maxIndexNum": 400000, "diskMaxUsedSpaceRatio": 95, "autoCreateTopicEnable": False,
            "recallMessageEnable": True, "transactionCheckInterval": 1000, "transactionTimeOut": 1000,
            "transactionCheckMax": 100,
            # A decision is written this late, by default a tenth of the check interval. A check in between copies the half
            # message, and the copy is asked about again though all is decided.
            "transactionOpBatchInterval": 100, "defaultTopicQueueNums": 4,
            # A busy machine is no busy broker: by default it refuses what waited 200 ms.
            "waitTimeMillsInSendQueue": 20000, "osPageCacheBusyTimeOutMills": 20000,
            # An idle broker took half a core: the thread that flushes transaction metrics spins until its interval is over
            # for the first time (10 s), and the timer wheel (37 MB) is compared byte by byte each second.
            "transactionMetricFlushInterval": 300, "timerFlushIntervalMs": 20000, **config}
        self.jvm = None
        self.start()

    def start(self):
        file = os.path.join(self.dir, "broker.conf")
        _write_config(file, self.config)
        # Several addresses need ';', which the command line takes as it is.
        self.jvm = Jvm(self.dir, "Launch", ["broker", "-n", self.cluster.name_servers, "-c", file], self.heap_mb,
                       self.properties, self.options)

    def ready(self):
        """It answers, and every name server has a route to it."""
        wait_for("a broker", self._answers, START_LIMIT_S, [self.jvm])
        for server in self.cluster.servers:
            wait_for(f"a route to {self.name}", lambda s=server: self._in_route(s), START_LIMIT_S, [self.jvm])

    def _answers(self):
        with self.connect() as c:
            return c.call(remoting.Code.RUNTIME_INFO).code == remoting.OK

    def _in_route(self, server):
        with self.cluster.connect(server.address) as c:
            answer = c.call(remoting.Code.CLUSTER_INFO)
            return answer.code == remoting.OK and f'"{self.address}"'.encode() in answer.body  # no JSON: keys are bare

    def stop(self, how=signal.SIGTERM):
        return self.jvm.stop(how)

    def kill(self):
        """As if the machine had gone."""
        return self.jvm.kill()

    def restart(self, how=signal.SIGTERM):
        self.stop(how)
        self.start()
        self.ready()

    def connect(self, **options):
        """A remoting.Connection, by the administrator where the cluster has ACLs."""
        return self.cluster.connect(self.address, **options)


class Cluster:
    """Name servers and masters: up when the constructor returns, stopped by close() or the end of `with`.

    config: settings of each broker, over those of Broker. acl: authentication and authorisation, ADMIN the first user.
    tls: "permissive" (each port speaks both), "enforcing" or "disabled"; certificates are signed by themselves.
    heap_mb, options: of the broker's JVM. options of the JVM replace the quick start (C1 only) where speed is measured.
    """

    def __init__(self, brokers=1, name_servers=1, config=None, acl=False, tls="permissive", heap_mb=384, options=()):
        self.acl, self.tls = acl, tls
        self.config, self.heap_mb, self.options = dict(config or {}), heap_mb, options
        self.properties = [f"tls.server.mode={tls}"]
        if tls == "enforcing":
            self.properties.append("tls.enable=true")
        self.dir = tempfile.mkdtemp(prefix="till-rocketmq-")
        self.servers, self.brokers, self._clients = [], [], []
        try:
            self.servers = [NameServer(os.path.join(self.dir, f"namesrv-{i}"), self.properties) for i in range(name_servers)]
            self.name_servers = self.name_server = ";".join(s.address for s in self.servers)
            for server in self.servers:
                server.ready()
            for _ in range(brokers):
                self.add_broker(wait=False)
            for broker in self.brokers:
                broker.ready()
        except BaseException:
            self.close()
            raise

    def _acl_config(self):
        user, password = ADMIN
        auth = "org.apache.rocketmq.auth."
        return {"authenticationEnabled": True, "authorizationEnabled": True,
                "authenticationProvider": auth + "authentication.provider.DefaultAuthenticationProvider",
                "authenticationMetadataProvider": auth + "authentication.provider.LocalAuthenticationMetadataProvider",
                "authorizationProvider": auth + "authorization.provider.DefaultAuthorizationProvider",
                "authorizationMetadataProvider": auth + "authorization.provider.LocalAuthorizationMetadataProvider",
                "initAuthenticationUser": json.dumps({"username": user, "password": password}),
                "innerClientAuthenticationCredentials": json.dumps({"accessKey": user, "secretKey": password})}

    def add_broker(self, wait=True, **config):
        """One more master, broker-a, broker-b and so on."""
        name = "broker-" + chr(ord("a") + len(self.brokers))
        acl = dict(self._acl_config(), authConfigPath=os.path.join(self.dir, name, "auth")) if self.acl else {}
        broker = Broker(self, name, {**acl, **self.config, **config}, self.heap_mb, self.properties, self.options)
        self.brokers.append(broker)
        if wait:
            broker.ready()
        return broker

    def connect(self, address, **options):
        if self.acl:
            options = {"access_key": ADMIN[0], "secret_key": ADMIN[1], **options}
        return remoting.Connection(address, **{"tls": self.tls == "enforcing", **options})

    def create_topic(self, topic, queues=4):
        """On every broker; back when the name servers know it everywhere."""
        for broker in self.brokers:
            with broker.connect() as c:
                answer = c.create_topic(topic, queues)
                if answer.code != remoting.OK:
                    raise AssertionError(f"{topic} on {broker.name}: {answer}")
        for server in self.servers:
            wait_for(f"a route for {topic}", lambda s=server: self._has_route(s, topic), START_LIMIT_S)

    def _has_route(self, server, topic):
        with self.cluster_connection(server) as c:
            answer = c.call(remoting.Code.ROUTE, topic=topic, acceptStandardJsonOnly=True)
            return answer.code == remoting.OK and len(json.loads(answer.body)["brokerDatas"]) == len(self.brokers)

    def cluster_connection(self, server):
        return self.connect(server.address)

    def client(self, main, **options):
        """Consume, Produce or TxProduce, with its `--name value` pairs as arguments."""
        if self.acl:
            options = {"access_key": ADMIN[0], "secret_key": ADMIN[1], **options}
        if self.tls == "enforcing":
            options = {"tls": "true", **options}
        client = Client(self.dir, main, **{"namesrv": self.name_servers, **options})
        self._clients.append(client)
        return client

    def close(self):
        """By force: the store goes with it. Only what this cluster started, by its pid."""
        jvms = [*self._clients, *(b.jvm for b in self.brokers if b.jvm), *(s.jvm for s in self.servers)]
        for jvm in jvms:
            if jvm.alive():
                jvm.process.kill()
        for jvm in jvms:
            jvm.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# --- For people


def up(args):
    config = dict(pair.split("=", 1) for pair in args.set)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Cluster(args.brokers, args.name_servers, config, args.acl, args.tls, args.heap) as cluster:
        for topic in args.topic:
            cluster.create_topic(topic)
        print(f"name server  {cluster.name_servers}")
        for broker in cluster.brokers:
            print(f"{broker.name}     {broker.address}   output in {broker.jvm.log}")
        if args.acl:
            print("access key   %s, secret key %s" % ADMIN)
        print("Ctrl-C stops and removes all of it.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while all(jvm.alive() for jvm in [*(b.jvm for b in cluster.brokers), *(s.jvm for s in cluster.servers)]):
                time.sleep(0.5)
            print("a process has ended by itself", file=sys.stderr)
            return 1
    return 0


def main():
    parser = argparse.ArgumentParser(description="A real RocketMQ cluster on loopback, for tests and for people.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch", help="fetch the jars, compile the helpers; exit 3 where that cannot be done")
    p = commands.add_parser("up", help="start a cluster, print its addresses, stop it on Ctrl-C")
    p.add_argument("--brokers", type=int, default=1)
    p.add_argument("--name-servers", type=int, default=1)
    p.add_argument("--topic", action="append", default=[], help="a topic to create; may be repeated")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the brokers")
    p.add_argument("--acl", action="store_true")
    p.add_argument("--tls", choices=("permissive", "enforcing", "disabled"), default="permissive")
    p.add_argument("--heap", type=int, default=384, metavar="MIB")
    args = parser.parse_args()
    try:
        if args.command == "up":
            return up(args)
        class_path()
        return 0
    except Unavailable as e:
        print(f"no RocketMQ: {e}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())

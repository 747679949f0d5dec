# SPDX-License-Identifier: Apache-2.0
"""Servers on loopback, with folders and ports of their own, ended by their pids; and what they cost."""
import contextlib
import json
import os
import queue
import random
import re
import signal
import socket
import subprocess
import threading
import time

# Below what the system gives to outgoing connections.
PORTS = range(20000, 32000)
START_LIMIT_S = 90
CALL_LIMIT_S = 600
_given = set()


class Unavailable(Exception):
    """It cannot be had or does not run here, and why."""


def free_port():
    for _ in range(1000):
        port = random.choice(PORTS)
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port
    raise Unavailable("no free port")


def children(pid):
    """The pid and all that came from it."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="latin-1") as f:
                parents.setdefault(int(f.read().rsplit(")", 1)[1].split()[1]), []).append(int(name))
    found = [pid]
    for p in found:
        found += parents.get(p, [])
    return found


def memory_bytes(pids):
    """What the system cannot take back: anonymous and shared memory, each page counted once, swap with it. No page cache."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
            fields = dict(re.findall(r"^(\w+): +(\d+) kB", f.read(), re.M))
            total += sum(int(fields.get(name, 0)) for name in ("Pss_Anon", "Pss_Shmem", "SwapPss")) * 1024
    return total


def disk_bytes(folder):
    """Blocks really taken; holes are not counted."""
    total = 0
    for dir, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(dir, name)).st_blocks * 512
    return total


def clean_env(**more):
    drop = ("NODE_", "JAVA_TOOL_", "TILL_", "RABBITMQ_", "PG", "ERL_")
    return {**{k: v for k, v in os.environ.items() if not k.startswith(drop) and not k.lower().endswith("_proxy")}, **more}


class Server:
    """A process and what it forks. `log`: what it said."""

    def __init__(self, dir, name, command, env=None, user=None):
        self.log, self.command = os.path.join(dir, f"{name}.log"), command
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(command, cwd=dir, env=clean_env(**(env or {})), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          start_new_session=True, user=user, group=user)

    def tail(self, n=600):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()[-n:].strip()

    def pids(self):
        return children(self.child.pid)

    def send(self, signal_number):
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal_number)

    def kill(self):
        """As if the machine had gone: the process first, so that it starts nothing more, then what it had forked."""
        pids = self.pids()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.child.wait()
        until = time.monotonic() + 10
        while time.monotonic() < until and any(_is_alive(pid) for pid in pids):
            time.sleep(0.01)

    def wait_for(self, probe, limit_s=START_LIMIT_S):
        """Until probe() is true; it may raise OSError while nobody answers."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            if self.child.poll() is not None:
                raise Unavailable(f"{os.path.basename(self.command[0])} ended with {self.child.returncode}: {self.tail()}")
            with contextlib.suppress(OSError):
                if probe():
                    return
            time.sleep(0.01)
        raise Unavailable(f"{os.path.basename(self.command[0])} did not answer within {limit_s} s: {self.tail()}")


def _is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def ask(port, words, limit_s=2):
    """The first bytes of an answer over a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), limit_s) as s:
        s.sendall(words)
        return s.recv(4096)


class Client:
    """A program that speaks the line protocol of js/client.js. It ends when its stdin does."""

    def __init__(self, dir, command, env=None):
        self.name, self.log = os.path.basename(command[-1]), os.path.join(dir, "client.log")
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(command, cwd=dir, env=clean_env(**(env or {})), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                          stderr=log, start_new_session=True)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with self.child.stdout as out:
            for line in out:
                if line.startswith(b"{"):
                    self.lines.put(json.loads(line))
        self.lines.put(None)

    def send(self, op, **fields):
        self.child.stdin.write(json.dumps({"op": op, **fields}).encode() + b"\n")
        self.child.stdin.flush()

    def answer(self, answer_within_s=CALL_LIMIT_S):
        try:
            line = self.lines.get(timeout=answer_within_s)
        except queue.Empty:
            raise Unavailable(f"{self.name} did not answer within {answer_within_s} s") from None
        if line is None:
            with open(self.log, encoding="utf-8", errors="replace") as f:
                raise Unavailable(f"{self.name} ended with {self.child.wait()}: {f.read()[-600:]}")
        if "error" in line:
            raise Unavailable(f"{self.name}: {line['error']}")
        return line["ok"]

    def call(self, op, answer_within_s=CALL_LIMIT_S, **fields):
        self.send(op, **fields)
        return self.answer(answer_within_s)

    def kill(self):
        self.child.kill()
        self.child.wait()
        with contextlib.suppress(OSError):
            self.child.stdin.close()

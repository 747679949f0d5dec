#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The providers' own SDKs, unmodified, in front of `till sandbox`.

    with Sandbox() as box, Node("alipay.js") as alipay:
        alipay.call("init", gateway=box.url + "/gateway.do", app_id=box.identity["app_id"], ...)
        alipay.call("exec", method="alipay.trade.query", biz={"out_trade_no": "x"})

    test/conformance/sdk.py fetch       the SDKs, and nothing else; exit 3 where they cannot be had

Node's come through npm, Java's through Maven, into build-sdks/ (once), of the exact versions that package-lock.json and
pom.xml name. A program (js/*.js, java/*.java) lives as long as its test class: it reads a JSON object a line,
{"op":"exec",...}, and answers each by one line, {"ok":...} or {"error":{...}}; it ends when its stdin does, so none outlives
this one, even killed. All of it stays on 127.0.0.1.
"""
import contextlib
import glob
import http.server
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
for more in ("test", os.path.join("test", "http")):
    sys.path.insert(1, os.path.join(ROOT, more))
import fetched
from fetched import Unavailable
from harness import LIMIT_S, TILL, call, wait_for

# Not inside build/: that one is meson's, which makes it anew when it likes.
STORE = os.path.join(ROOT, "build-sdks")
FETCH_LIMIT_S = 600
CALL_LIMIT_S = 60  # a JVM's first call on a busy machine takes some seconds
STOP_LIMIT_S = 10
ZONE = "Asia/Shanghai"  # where both providers' wall clocks are; some SDKs write the process's own


# --- The SDKs


def node_path():
    """Where node's require() finds the SDKs; fetches them where that is still to be done. Unavailable."""
    fetched.need_programs("node", "npm")
    dir = os.path.join(STORE, "npm")
    with fetched.locked(STORE):
        fetched.npm_modules(dir, os.path.join(HERE, "package.json"), FETCH_LIMIT_S)
    return os.path.join(dir, "node_modules")


def class_path():
    """The same for Java, with our programs compiled."""
    fetched.need_programs("java", "javac", "mvn")
    lib, classes = os.path.join(STORE, "lib"), os.path.join(STORE, "classes")
    pom, sources = os.path.join(HERE, "pom.xml"), sorted(glob.glob(os.path.join(HERE, "java", "*.java")))
    with fetched.locked(STORE):
        fetched.maven_jars(lib, pom, FETCH_LIMIT_S)
        fetched.java_classes(classes, os.path.join(lib, "*"), [pom], sources)
    return os.path.join(lib, "*") + ":" + classes


def need(*what):
    """For setUpModule(), of node_path and class_path: skips the tests where an SDK cannot be had, fails them in CI."""
    try:
        for have in what:
            have()
    except Unavailable as e:
        if os.environ.get("CI") == "true":
            raise
        print(f"skipped: no SDK to test against: {e}", file=sys.stderr, flush=True)
        raise unittest.SkipTest(f"no SDK: {e}") from None


# --- Programs over them


class SdkError(Exception):
    """What the SDK threw: `fields` has its name, message and what else the program found worth telling."""

    def __init__(self, fields):
        super().__init__(json.dumps(fields, ensure_ascii=False))
        self.fields = fields


class Program:
    """Derive: command() of the script or class."""

    def __init__(self, main, zone=ZONE):
        self.main, self.dir = main, tempfile.mkdtemp(prefix="till-sdk-")
        self.log = os.path.join(self.dir, "stderr.log")
        env = {k: v for k, v in os.environ.items() if not k.startswith(("NODE_", "JAVA_TOOL_", "TILL_")) and not k.lower().endswith("_proxy")}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(), cwd=self.dir, env={**env, "TZ": zone, **self.env()}, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=log, start_new_session=True)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def env(self):
        return {}

    def _read(self):
        with self.process.stdout as out:
            for line in out:
                if line.startswith(b"{"):
                    self.lines.put(json.loads(line))
        self.lines.put(None)

    def tail(self, n=3000):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()[-n:]

    def call(self, op, **arguments):
        """What the SDK returned. SdkError: what it threw. Anything else is a broken program."""
        self.process.stdin.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
        self.process.stdin.flush()
        try:
            line = self.lines.get(timeout=CALL_LIMIT_S)
        except queue.Empty:
            raise AssertionError(f"{self.main} did not answer {op} within {CALL_LIMIT_S} s: {self.tail()}") from None
        if line is None:
            self.lines.put(None)
            raise AssertionError(f"{self.main} ended with {self.process.wait()}: {self.tail()}")
        if "error" in line:
            raise SdkError(line["error"])
        return line["ok"]

    def close(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Node(Program):
    """js/MAIN"""

    def command(self):
        return ["node", os.path.join(HERE, "js", self.main)]

    def env(self):
        return {"NODE_PATH": node_path()}


class Java(Program):
    """java/MAIN.java"""

    def command(self):
        return ["java", "-Xms32m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
                f"-Djava.io.tmpdir={self.dir}", f"-Duser.home={self.dir}", "-cp", class_path(), self.main]


# --- What they talk to


class Sandbox:
    """`till sandbox` alone, with keys of its own."""

    def __init__(self, *flags):
        self.dir = tempfile.mkdtemp(prefix="till-sandbox-")
        self.keys, self.log = os.path.join(self.dir, "keys"), os.path.join(self.dir, "stderr.log")
        env = {k: v for k, v in os.environ.items() if not k.startswith("TILL_")}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([TILL, "sandbox", "--listen", "127.0.0.1:0", "--keys", self.keys, *flags], cwd=self.dir, env=env,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self.url = wait_for(self._address, 60, "the sandbox's address")
            with open(os.path.join(self.keys, "sandbox.json"), encoding="utf-8") as f:
                self.identity = json.load(f)
        except BaseException:
            self.close()
            raise

    def _address(self):
        if self.process.poll() is not None:
            raise AssertionError(f"till sandbox ended with {self.process.returncode}: {self.talk()}")
        found = re.search(r"^ +gateway +(http://127\.0\.0\.1:\d+)/gateway\.do$", self.talk(), re.M)
        return found and found.group(1)

    def talk(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def path(self, file):
        return os.path.join(self.keys, file)

    def text(self, file):
        with open(self.path(file), encoding="ascii") as f:
            return f.read()

    def bare(self, file):
        """A PEM file's base64 alone, as Java's SDKs want keys."""
        return "".join(line for line in self.text(file).splitlines() if not line.startswith("-"))

    def call(self, method, path, body=None, headers=None, timeout=LIMIT_S):
        return call(self.url, method, path, body, headers, timeout)

    def wallet(self, path, **body):
        """POST, which has to succeed."""
        answer = self.call("POST", f"/wallet/{path}", body)
        assert answer.status == 200, repr(answer)
        return answer.json

    def faults(self, **faults):
        answer = self.call("PUT", "/wallet/faults", faults) if faults else self.call("DELETE", "/wallet/faults")
        assert answer.status == 200, repr(answer)

    def close(self):
        """SIGTERM, which has to end it well."""
        self.process.terminate()
        try:
            status = self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        talk = self.talk()
        shutil.rmtree(self.dir, ignore_errors=True)
        assert status == 0, f"till sandbox ended with {status}: {talk}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def open_for_module(of, **what):
    """For setUpModule(): each as an attribute of the class, until the module's tests are over. Starting one costs more than a test."""
    for name, start in what.items():
        it = start()
        setattr(of, name, it)
        unittest.addModuleCleanup(it.close)


def respelt(signature):
    """Another one, of the same length."""
    return signature[:9] + ("B" if signature[9] == "A" else "A") + signature[10:]


class Between:
    """Stands on the way to a sandbox, and passes on what comes: requests as `ask` makes them of (path, headers, body), answers as
    `tell` does of (status, headers, body)."""

    def __init__(self, url):
        self.ask = self.tell = lambda *it: it
        between = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def serve(self):
                sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path, headers, sent = between.ask(self.path, dict(self.headers.items()), sent)
                onward = {k.title(): v for k, v in headers.items() if k.lower() not in ("host", "content-length", "connection")}
                answer = call(url, self.command, path, sent or None, onward)
                status, headers, said = between.tell(answer.status, dict(answer.headers.items()), answer.body)
                self.send_response_only(status)
                for name, value in {**headers, "Content-Length": str(len(said)), "Connection": "close"}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST = serve

            def log_message(self, *_):
                pass

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}"
        threading.Thread(target=self.httpd.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.httpd.shutdown()
        self.httpd.server_close()


def main():
    if sys.argv[1:] != ["fetch"]:
        print("usage: test/conformance/sdk.py fetch", file=sys.stderr)
        return 2
    try:
        node_path()
        class_path()
        return 0
    except Unavailable as e:
        print(f"no SDKs: {e}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())

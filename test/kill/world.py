# SPDX-License-Identifier: Apache-2.0
"""The two processes of a run, over real files and real HTTP: `till sandbox`, which is never killed and so remembers the
money, and `till serve`, which is killed all the time."""
import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "http"))
from harness import TILL, Answer, free_ports, run_till  # noqa: E402

START_LIMIT_S = 20
AWAY = (OSError, http.client.HTTPException)  # nothing is known of what was asked


class Violation(Exception):
    """A promise that was not kept."""


def require(holds, what):
    if not holds:
        raise Violation(what)


class Line:
    """A connection that is kept, made anew when it broke. One thread uses it."""

    def __init__(self, port):
        self.port, self.connection = port, None

    def call(self, method, path, body=None, headers=None, timeout=20):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        if isinstance(body, dict):
            body = json.dumps(body)
        headers = dict(headers or {})
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            self.connection.request(method, path, body=body, headers=headers)
            response = self.connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        except BaseException:
            self.close()
            raise

    def good(self, method, path, body=None, headers=None):
        answer = self.call(method, path, body, headers)
        require(answer.status in (200, 201, 204), f"{method} {path} is answered {answer!r}")
        return answer.json if answer.body else None

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


class Process:
    """One `till`, ended by its own pid."""

    def __init__(self, folder, name, args, port, ready):
        self.args, self.port, self.ready = [TILL, *args], port, ready
        self.folder, self.log_path, self.child = folder, os.path.join(folder, name + ".log"), None

    def launch(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith("TILL_")}
        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen(self.args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                                          env=env, cwd=self.folder)

    def wait_ready(self):
        line, end = Line(self.port), time.monotonic() + START_LIMIT_S
        while True:
            self.require_alive()
            with contextlib.suppress(*AWAY):
                if line.call("GET", self.ready, timeout=2).status == 200:
                    break
            require(time.monotonic() < end, f"not ready {START_LIMIT_S} s after its start: {self.last_words()}")
            time.sleep(0.002)
        line.close()

    def require_alive(self):
        require(self.child.poll() is None, f"it ended by itself with {self.child.returncode}: {self.last_words()}")

    def last_words(self):
        with open(self.log_path, "rb") as f:
            return f.read()[-1500:].decode("utf-8", "replace")

    def kill(self):
        """It must have been alive until now."""
        self.require_alive()
        self.child.send_signal(signal.SIGKILL)
        self.child.wait(10)

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(10)

    def destroy(self):
        if self.child and self.child.poll() is None:
            self.child.kill()
            self.child.wait(10)


class World:
    def __init__(self, folder, flags=()):
        self.port, self.sandbox_port = free_ports(2)
        self.keys, self.store = os.path.join(folder, "keys"), f"sqlite:{folder}/till.db"
        sandbox = f"127.0.0.1:{self.sandbox_port}"
        self.sandbox = Process(folder, "sandbox", ["sandbox", "--listen", sandbox, "--keys", self.keys], self.sandbox_port,
                               "/wallet/ledger")
        self.sandbox.launch()
        self.sandbox.wait_ready()
        # No sweep: what a start forgot must be missed, and not be found again by the net below it.
        self.server = Process(folder, "serve", ["serve", "--test-clock", "--listen", f"127.0.0.1:{self.port}",
                                                "--store.url", self.store, "--sweep.cron", "0 0 0 1 1 ? 2099",
                                                *self.channels("http://" + sandbox), *flags], self.port, "/readyz")
        self.started_at = 0

    def channels(self, sandbox):
        with open(os.path.join(self.keys, "sandbox.json"), encoding="utf-8") as f:
            it = json.load(f)
        keys = {
            "alipay.gateway": sandbox + "/gateway.do", "alipay.app_id": it["app_id"],
            "alipay.private_key_file": self.key("app_private_key.pem"),
            "alipay.alipay_public_key_file": self.key("alipay_public_key.pem"),
            "wechatpay.base_url": sandbox, "wechatpay.mchid": it["mchid"], "wechatpay.appid": it["appid"],
            "wechatpay.serial": it["merchant_serial"], "wechatpay.private_key_file": self.key("merchant_private_key.pem"),
            "wechatpay.platform_key_file": self.key("platform_public_key.pem"),
            "wechatpay.platform_key_id": it["platform_key_id"], "wechatpay.apiv3_key_file": self.key("apiv3_key")}
        return [f"--{key}={value}" for key, value in keys.items()]

    def key(self, name):
        return os.path.join(self.keys, name)

    def shop_line(self):
        return Line(self.port)

    def wallet_line(self):
        return Line(self.sandbox_port)

    def start(self):
        self.server.launch()
        self.server.wait_ready()

    def kill_a_start(self, after_s):
        """A start that dies on its way, or just after it was done."""
        self.server.launch()
        time.sleep(after_s)
        self.server.kill()

    def audit(self):
        return run_till("audit", "--store", self.store, "--sandbox", f"http://127.0.0.1:{self.sandbox_port}", timeout=120)

    def destroy(self):
        self.server.destroy()
        self.sandbox.destroy()


class Crowd:
    """Threads that begin together; the first failure of one is raised where they are joined."""

    def __init__(self, jobs):
        self.failures = []
        self.threads = [threading.Thread(target=self.work, args=(job,), daemon=True) for job in jobs]
        for t in self.threads:
            t.start()

    def work(self, job):
        try:
            job()
        except BaseException as e:  # handed to whoever joins
            self.failures.append(e)

    def join(self, limit_s):
        end = time.monotonic() + limit_s
        for t in self.threads:
            t.join(max(0, end - time.monotonic()))
        if self.failures:
            raise self.failures[0]
        require(not any(t.is_alive() for t in self.threads), f"a client got no answer in {limit_s} s")

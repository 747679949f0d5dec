# SPDX-License-Identifier: Apache-2.0
"""The command line: what goes to stdout, what to stderr, exit statuses, configuration, and a server run from a terminal."""
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import unittest

from harness import Case, Process, TILL, Till, call, free_ports, run_till

COMMANDS = ("dev", "serve", "sandbox", "audit", "bench", "sim", "order", "sku", "event", "version", "help")


class Words(unittest.TestCase):
    def test_help_names_every_command_on_stdout(self):
        status, out, err = run_till("help")
        self.assertEqual((status, err), (0, ""))
        for command in COMMANDS:
            self.assertRegex(out, rf"(?m)^\W*{command}\b")

    def test_each_command_has_help(self):
        for command in COMMANDS:
            with self.subTest(command):
                status, out, err = run_till("help", command)
                self.assertEqual((status, err), (0, ""))
                self.assertIn(f"till {command}", out)
                self.assertEqual(run_till(command, "--help")[:2], (0, out))

    def test_the_help_of_dev_names_its_flags(self):
        out = run_till("help", "dev")[1]
        for flag in ("--listen", "--sandbox-listen", "--data", "--pay-within", "--fresh"):
            self.assertIn(flag, out)
        out = run_till("help", "audit")[1]
        for flag in ("--store", "--sandbox", "--json"):
            self.assertIn(flag, out)

    def test_version(self):
        status, out, err = run_till("version")
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, r"^till \d+\.\d+\.\d+\S*\n$")

    def test_wrong_usage_is_2_and_says_so_on_stderr(self):
        for args in ((), ("bogus",), ("help", "bogus"), ("version", "extra"), ("version", "--bogus"), ("dev", "--bogus"), ("serve", "--bogus"),
                     ("dev", "extra"), ("dev", "--listen"), ("audit", "--bogus"), ("audit", "extra"), ("order",), ("order", "bogus"),
                     ("sku",), ("event", "bogus"), ("bench",), ("bench", "bogus"), ("sandbox", "--bogus"), ("--bogus",), ("",)):
            with self.subTest(args):
                status, out, err = run_till(*args)
                self.assertEqual((status, out), (2, ""), err)
                self.assertTrue(err.strip())

    def test_a_flag_nobody_can_print_is_not_printed_raw(self):
        for args in (("\x1b[31mred",), ("dev", "--x\x1b[31m\nFAKE"), ("serve", "--order.pay_within", "\x1b[31m\nFAKE"),
                     ("serve", "--order.\x1b[31m", "1")):
            status, out, err = run_till(*args)
            self.assertEqual(status, 2)
            self.assertNotIn("\x1b", out + err)
            self.assertNotIn("\nFAKE", err)

    def test_no_color_and_no_terminal_mean_no_escape_sequences(self):
        for env in ({}, {"NO_COLOR": "1"}, {"TERM": "xterm-256color"}):
            for args in (("help",), ("bogus",), ("version",), ("audit",)):
                _, out, err = run_till(*args, env=env)
                self.assertNotIn("\x1b", out + err)

    def test_writing_to_a_full_disk_is_a_failure(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full here")
        with open("/dev/full", "wb") as full:
            done = subprocess.run([TILL, "help"], stdout=full, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=10, check=False)
        self.assertEqual(done.returncode, 1)


class Configuration(unittest.TestCase):
    def config(self, *args, env=None, file=None):
        with tempfile.TemporaryDirectory(prefix="till-config-") as folder:
            flags = list(args)
            if file is not None:
                path = os.path.join(folder, "till.ini")
                with open(path, "w", encoding="utf-8") as f:
                    f.write(file)
                flags += ["--config", path]
            return run_till("serve", "--print-config", *flags, env=env, cwd=folder)

    def value(self, out, section, name):
        match = re.search(rf"(?ms)^\[{section}\]\n(?:(?!\[).)*?^{name} *=[ \t]*([^\n]*)$", out)
        self.assertIsNotNone(match, f"{section}.{name} in {out}")
        return match.group(1)

    def test_defaults_are_those_of_the_contract(self):
        status, out, err = self.config()
        self.assertEqual((status, err), (0, ""))
        for key, value in {"server.listen": "127.0.0.1:8080", "store.url": "sqlite:till-data/till.db", "broker.url": "embedded:",
                           "order.pay_within": "5m", "order.close_grace": "30s", "order.release": "proof",
                           "order.late_payment": "refund", "checkback.policy": "reverse", "checkback.first": "30s",
                           "checkback.interval": "30s", "checkback.max": "0", "checkback.schedule": "adaptive",
                           "sweep.cron": "0 0/10 * ? * ?", "webhook.allow_private": "false"}.items():
            self.assertEqual(self.value(out, *key.split(".")), value, key)

    def test_flags_win_over_environment_over_file(self):
        file, env = "[order]\npay_within = 1m\nclose_grace = 11s\nrelease = deadline\n", {"TILL_ORDER_PAY_WITHIN": "2m",
                                                                                          "TILL_ORDER_CLOSE_GRACE": "22s"}
        status, out, err = self.config("--order.pay_within", "3m", env=env, file=file)
        self.assertEqual(status, 0, err)
        self.assertEqual([self.value(out, "order", k) for k in ("pay_within", "close_grace", "release")], ["3m", "22s", "deadline"])

    def test_listen_is_short_for_server_listen(self):
        self.assertEqual(self.value(self.config("--listen", "127.0.0.1:9999")[1], "server", "listen"), "127.0.0.1:9999")
        self.assertEqual(self.value(self.config("--server.listen", "127.0.0.1:9999")[1], "server", "listen"), "127.0.0.1:9999")

    def test_what_it_prints_it_reads_again(self):
        first = self.config("--order.pay_within", "90s", "--checkback.policy", "forward")[1]
        status, second, err = self.config(file=first)
        self.assertEqual((status, err, second), (0, "", first))

    def test_secrets_are_masked(self):
        for args in (("--store.url", "postgres://user:hunter2secret@127.0.0.1/db"), ("--broker.access_key", "hunter2secret")):
            status, out, err = self.config(*args)
            self.assertEqual(status, 0, err)
            self.assertNotIn("hunter2secret", out + err)
        _, out, err = self.config("--store.url", "bogus://user:hunter2secret@127.0.0.1/db")
        self.assertNotIn("hunter2secret", out + err)

    def refused(self, words, *args, **more):
        status, out, err = self.config(*args, **more)
        with self.subTest(args or more):
            self.assertEqual((status, out), (2, ""))
            self.assertEqual(err.count("\n"), 1, f"one line: {err}")
            for word in words:
                self.assertIn(word, err)

    def test_an_unknown_key_is_named_with_its_value(self):
        self.refused(["order.pay_wihtin", "61s"], "--order.pay_wihtin", "61s")
        self.refused(["pay_wihtin", "61s"], file="[order]\npay_wihtin = 61s\n")
        self.refused(["PAY_WIHTIN", "61s"], env={"TILL_ORDER_PAY_WIHTIN": "61s"})
        self.refused(["ordre"], file="[ordre]\npay_within = 61s\n")

    def test_a_bad_value_is_named_with_what_is_allowed(self):
        self.refused(["order.pay_within", "0s", "1s", "15d"], "--order.pay_within", "0s")
        self.refused(["order.pay_within", "16d", "15d"], file="[order]\npay_within = 16d\n")
        self.refused(["order.release", "never", "proof", "deadline"], "--order.release", "never")
        self.refused(["order.late_payment", "keep", "refund", "reopen", "hold"], env={"TILL_ORDER_LATE_PAYMENT": "keep"})
        self.refused(["checkback.policy", "both", "delay", "poll", "reverse", "forward"], "--checkback.policy", "both")
        self.refused(["checkback.max", "-1"], "--checkback.max", "-1")
        self.refused(["sweep.cron", "every day"], "--sweep.cron", "every day")
        self.refused(["server.listen", "nowhere"], "--server.listen", "nowhere")
        self.refused(["webhook.allow_private", "maybe"], "--webhook.allow_private", "maybe")
        self.refused(["store.url", "mysql"], "--store.url", "mysql://x")

    def test_a_file_that_is_none(self):
        status, out, err = run_till("serve", "--print-config", "--config", "/nonexistent/till.ini")
        self.assertIn(status, (1, 2))
        self.assertIn("/nonexistent/till.ini", err)
        for text in ("[order\n", "pay_within\n", "[order]\npay_within\n", "\0\0\0", "[order]\npay_within = 1m\npay_within = 2m\n"):
            with self.subTest(text):
                self.assertEqual(self.config(file=text)[0], 2)

    def test_beyond_loopback_it_wants_a_key(self):
        # 192.0.2.1 belongs to nobody (RFC 5737): were it not refused, it could not be listened on either
        status, _, err = run_till("serve", "--listen", "192.0.2.1:8080")
        self.assertIn(status, (1, 2))
        self.assertIn("key", err)
        self.assertIn("192.0.2.1:8080", err)


class Servers(unittest.TestCase):
    def folder(self):
        folder = tempfile.TemporaryDirectory(prefix="till-serve-")
        self.addCleanup(folder.cleanup)
        return folder.name

    def serve(self, folder, *flags):
        (port,) = free_ports(1)
        url = f"http://127.0.0.1:{port}"
        server = Process(["serve", "--listen", f"127.0.0.1:{port}", "--store.url", f"sqlite:{folder}/till.db", *flags],
                         (url, "/readyz"), os.path.join(folder, "log"))
        self.addCleanup(server.kill)
        return url, server.start()

    def test_dev_says_where_it_is(self):
        till = Till().start()
        self.addCleanup(till.clean)
        out = till.server.out().decode()
        self.assertIn(till.url, out)
        self.assertIn(till.sandbox, out)
        self.assertEqual(till.stop()[0], 0)

    def test_serve_alone_takes_orders_and_has_no_test_clock(self):
        url, server = self.serve(self.folder())
        answer = call(url, "POST", "/v1/orders", {"amount": 5, "subject": "x", "channel": "any"})
        self.assertEqual(answer.status, 201, repr(answer))
        for method, body in (("GET", None), ("POST", {"advance": "1m"})):
            answer = call(url, method, "/dev/clock", body)
            self.assertEqual((answer.status, answer.headers["Content-Type"]), (404, "application/problem+json"), repr(answer))
        answer = call(url, "POST", "/v1/orders", {"amount": 5, "subject": "x", "channel": "alipay"})
        self.assertTrue(400 <= answer.status < 500, f"the channel is off: {answer!r}")
        self.assertEqual(server.stop()[0], 0)

    def test_serve_with_a_test_clock(self):
        url, server = self.serve(self.folder(), "--test-clock")
        order = call(url, "POST", "/v1/orders", {"amount": 5, "subject": "x", "channel": "any"}).json
        answer = call(url, "POST", "/dev/clock", {"advance": "6m"})
        self.assertEqual(answer.status, 200, repr(answer))
        self.assertIs(answer.json["settled"], True)
        self.assertEqual(call(url, "GET", f"/v1/orders/{order['id']}").json["state"], "cancelled")
        self.assertEqual(server.stop()[0], 0)

    def test_a_port_in_use_is_a_failure_that_says_so(self):
        folder, other = self.folder(), self.folder()
        url, server = self.serve(folder)
        port = url.rsplit(":", 1)[1]
        status, _, err = run_till("serve", "--listen", f"127.0.0.1:{port}", "--store.url", f"sqlite:{other}/till.db", timeout=10)
        self.assertEqual(status, 1)
        self.assertIn(port, err)
        self.assertEqual(call(url, "GET", "/readyz").status, 200)
        self.assertEqual(server.stop()[0], 0)

    def test_a_store_in_use_is_not_written_by_a_second_server(self):
        folder = self.folder()
        url, server = self.serve(folder)
        (port,) = free_ports(1)
        status, _, err = run_till("serve", "--listen", f"127.0.0.1:{port}", "--store.url", f"sqlite:{folder}/till.db", timeout=10)
        self.assertEqual(status, 1)
        self.assertIn("till.db", err)
        self.assertEqual(call(url, "POST", "/v1/orders", {"amount": 5, "subject": "x", "channel": "any"}).status, 201)
        self.assertEqual(server.stop()[0], 0)

    def test_a_store_that_is_no_store_is_refused_and_left_alone(self):
        folder = self.folder()
        path, junk = os.path.join(folder, "till.db"), b"this is not a database" * 500
        with open(path, "wb") as f:
            f.write(junk)
        (port,) = free_ports(1)
        status, _, err = run_till("serve", "--listen", f"127.0.0.1:{port}", "--store.url", f"sqlite:{path}", timeout=10)
        self.assertEqual(status, 1)
        self.assertTrue(err.strip())
        with open(path, "rb") as f:
            self.assertEqual(f.read(), junk)

    def test_sigint_ends_it_too_and_sigterm_with_a_silent_client(self):
        url, server = self.serve(self.folder())
        with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1]))) as s:
            s.sendall(b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")  # and never goes on
            time.sleep(0.1)
            self.assertEqual(server.stop()[0], 0)
        url, server = self.serve(self.folder())
        server.process.send_signal(signal.SIGINT)
        self.assertEqual(server.process.wait(10), 0)

    def test_keys_and_their_scopes(self):
        folder = self.folder()
        keys, made = os.path.join(folder, "keys"), {}
        for scope in ("read", "order", "refund", "admin"):
            status, out, err = run_till("key", "add", f"the-{scope}", "--scope", scope, "--file", keys)
            self.assertEqual(status, 0, err)
            made[scope] = out.strip().split()[-1]
        with open(keys, "rb") as f:
            stored = f.read()
        for key in made.values():
            self.assertNotIn(key.encode(), stored, "only a hash is kept")
        url, server = self.serve(folder, "--server.api_keys_file", keys)

        def ask(method, path, body=None, key=None, raw_header=None):
            headers = {"Authorization": raw_header or f"Bearer {key}"} if key or raw_header else {}
            return call(url, method, path, body, headers)

        order = {"amount": 5, "subject": "x", "channel": "any"}
        for header in (None, "Bearer ", "Bearer nonsense", f"Basic {made['admin']}", made["admin"], f"Bearer {made['admin']}x",
                       f"Bearer {made['admin'][:-1]}"):
            for method, path, body in (("GET", "/v1/orders", None), ("POST", "/v1/orders", order), ("GET", "/v1/events", None)):
                with self.subTest(f"{method} {path} {str(header)[:15]}"):
                    answer = ask(method, path, body, raw_header=header)
                    self.assertEqual((answer.status, answer.headers["Content-Type"]), (401, "application/problem+json"))
        self.assertEqual(ask("GET", "/v1/orders", key=made["read"]).json["data"], [])
        self.assertEqual(ask("POST", "/v1/orders", order, made["read"]).status, 403)
        answer = ask("POST", "/v1/orders", order, made["order"])
        self.assertEqual(answer.status, 201, repr(answer))
        self.assertEqual(ask("POST", f"/v1/orders/{answer.json['id']}/refunds", {}, made["order"]).status, 403)
        self.assertEqual(ask("POST", f"/v1/orders/{answer.json['id']}/refunds", {}, made["refund"]).status, 409)
        self.assertEqual(ask("POST", "/v1/orders", order, made["admin"]).status, 201)
        for path in ("/livez", "/readyz"):
            self.assertEqual(call(url, "GET", path).status, 200, path)
        self.assertEqual(server.stop()[0], 0)
        self.assertFalse([k for k in made.values() if k.encode() in server.log()], "keys in the log")


class Audit(unittest.TestCase):
    def test_a_store_that_is_not_there_is_a_failure(self):
        status, _, err = run_till("audit", "--store", "sqlite:/nonexistent/till.db")
        self.assertEqual(status, 1)
        self.assertIn("/nonexistent/till.db", err)

    def test_one_line_each_or_json_and_beside_nobody(self):
        till = Till().start()
        self.addCleanup(till.clean)
        till.scan_and_pay(till.place(till.sku(), 1))
        status, out, err = till.audit()
        self.assertEqual(status, 0, err)
        for line in [out] if out.lstrip().startswith("{\n") else out.strip().splitlines():
            json.loads(line)
        status, out, err = run_till("audit", "--store", f"sqlite:{till.data}/till.db", "--sandbox", till.sandbox)
        self.assertEqual(status, 0, err)
        for line in out.strip().splitlines():
            self.assertRegex(line, r"\b(holds|pending|BROKEN)\b")
        self.assertEqual(till.stop()[0], 0)
        status, out, err = run_till("audit", "--store", f"sqlite:{till.data}/till.db")
        self.assertEqual(status, 0, out + err)

    def backup(self, till):
        """The store as it was before an order in it was paid, kept elsewhere."""
        self.assertEqual(till.stop()[0], 0)
        folder = tempfile.TemporaryDirectory(prefix="till-old-")
        self.addCleanup(folder.cleanup)
        for end in ("", "-wal"):
            if os.path.exists(f"{till.data}/till.db{end}"):
                shutil.copy(f"{till.data}/till.db{end}", folder.name)
        till.restart()
        return folder.name

    def put_back(self, backup, data):
        for end in ("-wal", "-shm"):
            if os.path.exists(f"{data}/till.db{end}"):
                os.unlink(f"{data}/till.db{end}")
        for f in os.listdir(backup):
            shutil.copy(os.path.join(backup, f), data)

    def test_a_capture_the_store_does_not_account_for_is_broken(self):
        till = Till().start()
        self.addCleanup(till.clean)
        order = till.place(till.sku(), 1)
        backup = self.backup(till)
        till.scan_and_pay(order)
        till.until(order["id"], "paid", 1.5)
        till.advance("2h")
        other = tempfile.mkdtemp(prefix="till-other-")
        self.addCleanup(shutil.rmtree, other, True)
        shutil.copytree(till.data, other, dirs_exist_ok=True)
        self.put_back(backup, other)
        status, out, err = run_till("audit", "--store", f"sqlite:{other}/till.db", "--sandbox", till.sandbox)
        self.assertEqual(status, 1, out + err)
        self.assertRegex(out, r"(?m)^.*\bBROKEN\b.*ledger|^.*ledger.*\bBROKEN\b", out)
        self.assertEqual(till.audit()[0], 0)
        self.assertEqual(till.stop()[0], 0)

    def test_a_store_restored_from_a_backup_learns_the_payment_from_the_provider(self):
        till = Till().start()
        self.addCleanup(till.clean)
        order = till.place(till.sku(), 1)
        backup = self.backup(till)
        till.scan_and_pay(order)
        till.until(order["id"], "paid", 1.5)
        self.assertEqual(till.stop()[0], 0)
        self.put_back(backup, till.data)
        till.restart()
        till.advance("10m")
        self.assertEqual(till.order(order["id"])["state"], "paid")
        status, out, err = till.audit()
        self.assertEqual(status, 0, out + err)
        self.assertEqual(till.stop()[0], 0)

    def test_a_tampered_store_is_broken(self):
        till = Till().start()
        self.addCleanup(till.clean)
        sku = till.sku(stock=10)
        till.place(sku, 2)
        self.assertEqual(till.stop()[0], 0)
        store = os.path.join(till.data, "till.db")
        db = sqlite3.connect(store)
        changed = 0
        for (table,) in db.execute("select name from sqlite_master where type = 'table'").fetchall():
            columns = [row[1] for row in db.execute(f'pragma table_info("{table}")')]
            if "held" in columns and "available" in columns:
                changed += db.execute(f'update "{table}" set held = held + 1, available = available - 1 where held = 2').rowcount
        db.commit()
        db.close()
        self.assertEqual(changed, 1, "where stock is kept is no longer known to this test")
        status, out, err = run_till("audit", "--store", f"sqlite:{store}")
        self.assertEqual(status, 1, out + err)
        self.assertIn("BROKEN", out)


class Terminal(Case):
    def run_json(self, *args, status=0):
        code, out, err = run_till(*args, "--url", self.till.url, "--json")
        self.assertEqual(code, status, f"{args}: {out} {err}")
        return json.loads(out)

    def test_an_order_s_life_from_a_terminal(self):
        sku = self.till.sku()
        order = self.run_json("order", "place", "--sku", f"{sku}:2", "--channel", "alipay")
        self.assertEqual((order["state"], order["amount"]), ("awaiting_payment", 200))
        self.assertEqual(self.run_json("order", "show", order["id"]), self.till.order(order["id"]))
        self.till.scan_and_pay(order)
        self.assertEqual(self.run_json("order", "check", order["id"])["state"], "paid")
        self.assertEqual(self.run_json("order", "refund", order["id"], "--amount", "50")["amount"], 50)
        self.assertTrue(self.run_json("order", "timeline", order["id"])["data"])
        self.assertIn(order["id"], [o["id"] for o in self.run_json("order", "list", "--state", "paid")["data"]])
        other = self.run_json("order", "place", "--amount", "500", "--subject", "soup")
        self.assertIn(self.run_json("order", "cancel", other["id"], "--reason", "buyer")["state"], ("closing", "cancelled"))
        self.assertIn("order.paid", [e["type"] for e in self.run_json("event", "list", "--limit", "200")["data"]])

    def test_a_sku_from_a_terminal(self):
        sku = self.run_json("sku", "put", "cli-tea", "--title", "Tea", "--price", "250", "--stock", "7")
        self.assertEqual((sku["available"], sku["price"]), (7, 250))
        self.assertEqual(self.run_json("sku", "stock", "cli-tea", "--add", "-3")["available"], 4)
        self.assertEqual(self.run_json("sku", "show", "cli-tea"), self.till.good("GET", "/v1/skus/cli-tea"))

    def test_refusals_are_1_and_go_to_stderr(self):
        for args in (("order", "show", "ord_nothing"), ("order", "place", "--sku", "nothing:1"), ("sku", "show", "nothing")):
            with self.subTest(args):
                status, out, err = run_till(*args, "--url", self.till.url)
                self.assertEqual((status, out), (1, ""), err)
                self.assertTrue(err.strip())
        (port,) = free_ports(1)
        status, _, err = run_till("order", "list", "--url", f"http://127.0.0.1:{port}")
        self.assertEqual(status, 1)
        self.assertTrue(err.strip())

    def test_titles_cannot_move_the_terminal_s_cursor(self):
        self.till.call("PUT", "/v1/skus/cli-evil", {"title": "\x1b[2J\x1b]0;owned\x07evil\nfake line", "price": 1, "stock": 1})
        self.till.call("POST", "/v1/orders", {"amount": 5, "subject": "x", "channel": "any", "buyer": "\x1b[2Jb"})
        for args in (("sku", "list"), ("sku", "show", "cli-evil"), ("order", "list"), ("event", "list")):
            _, out, err = run_till(*args, "--url", self.till.url)
            self.assertNotIn("\x1b", out + err, args)
            self.assertNotIn("\nfake line", out, args)


if __name__ == "__main__":
    unittest.main()

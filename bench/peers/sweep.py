#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A sweep over a table, as most shops have it: rows with an instant, an index on it, and a loop that takes what is due.

The client of the line protocol (js/client.js says what it is). PostgreSQL: SELECT ... FOR UPDATE SKIP LOCKED in batches, and the rows
deleted in the same transaction. SQLite: the same in one process, WAL with synchronous=FULL.
"""
import json
import sqlite3
import sys
import threading
import time

BATCH, PAUSE_S, PAYLOAD_BYTES = 1000, 0.02, 64


def payload(run, i):
    return f"{run}:{i}:".ljust(PAYLOAD_BYTES, "-")


class Sqlite:
    def __init__(self, path):
        self.path = path
        with self.connect() as db:
            db.execute("CREATE TABLE IF NOT EXISTS pending (id INTEGER PRIMARY KEY, due_ms INTEGER NOT NULL, what TEXT NOT NULL)")
            db.execute("CREATE INDEX IF NOT EXISTS pending_due ON pending (due_ms)")

    def connect(self):
        db = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        return db

    def schedule(self, db, rows):
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO pending (due_ms, what) VALUES (?, ?)", rows)
        db.execute("COMMIT")

    def take(self, db):
        db.execute("BEGIN IMMEDIATE")
        rows = db.execute("SELECT id, what FROM pending WHERE due_ms <= ? ORDER BY due_ms, id LIMIT ?", (int(time.time() * 1000), BATCH)).fetchall()
        db.executemany("DELETE FROM pending WHERE id = ?", [(row[0],) for row in rows])
        db.execute("COMMIT")
        return [row[1] for row in rows]

    def count(self, db):
        return db.execute("SELECT count(*) FROM pending").fetchone()[0]


class Postgres:
    def __init__(self, port, user):
        import psycopg2
        import psycopg2.extras
        self.extras = psycopg2.extras
        self.connect = lambda: psycopg2.connect(host="127.0.0.1", port=port, user=user, dbname="postgres")
        with self.connect() as db, db.cursor() as c:
            c.execute("CREATE TABLE IF NOT EXISTS pending (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, due_ms bigint NOT NULL, what text NOT NULL)")
            c.execute("CREATE INDEX IF NOT EXISTS pending_due ON pending (due_ms)")

    def schedule(self, db, rows):
        with db, db.cursor() as c:
            self.extras.execute_values(c, "INSERT INTO pending (due_ms, what) VALUES %s", rows, page_size=BATCH)

    def take(self, db):
        with db, db.cursor() as c:
            c.execute("DELETE FROM pending WHERE id = ANY (ARRAY(SELECT id FROM pending WHERE due_ms <= %s ORDER BY due_ms LIMIT %s "
                      "FOR UPDATE SKIP LOCKED)) RETURNING what", (int(time.time() * 1000), BATCH))
            return [row[0] for row in c.fetchall()]

    def count(self, db):
        with db, db.cursor() as c:
            c.execute("SELECT count(*) FROM pending")
            return c.fetchone()[0]


class Sweep:
    def open(self, **o):
        self.table = Sqlite(o["path"]) if "path" in o else Postgres(o["port"], o["user"])
        self.db, self.lanes, self.n_lanes = self.table.connect(), [], 1 if "path" in o else 2

    def schedule(self, run, n, due_ms):
        begun = time.monotonic()
        for first in range(0, n, BATCH):
            self.table.schedule(self.db, [(due_ms, payload(run, i)) for i in range(first, min(n, first + BATCH))])
        return {"seconds": time.monotonic() - begun}

    def count(self):
        return self.table.count(self.db)

    def _lane(self):
        db = self.table.connect()
        while self.is_open:
            taken = self.table.take(db)
            at_ms = time.time() * 1000
            with self.lock:
                for what in taken:
                    run, i, _ = what.split(":")
                    if run != self.run:
                        continue
                    self.doubled += i in self.seen
                    self.seen.setdefault(i, at_ms)
                if len(self.seen) >= self.n:
                    self.is_complete.set()
            if not taken:
                time.sleep(PAUSE_S)
        db.close()

    def subscribe(self, run, n):
        self.run, self.n, self.seen, self.doubled, self.is_open = run, n, {}, 0, True
        self.lock, self.is_complete = threading.Lock(), threading.Event()
        self.lanes = [threading.Thread(target=self._lane) for _ in range(self.n_lanes)]
        for lane in self.lanes:
            lane.start()

    def collect(self, limit_s):
        self.is_complete.wait(limit_s)
        with self.lock:
            return {"arrived_ms": [round(ms, 1) for ms in self.seen.values()], "doubled": self.doubled,
                    "strange": sum(not i.isdigit() or int(i) >= self.n for i in self.seen)}

    def close(self):
        self.is_open = False
        for lane in self.lanes:
            lane.join()


def main():
    sweep = Sweep()
    for line in sys.stdin:
        fields = json.loads(line)
        try:
            answer = {"ok": getattr(sweep, fields.pop("op"))(**fields)}
        except Exception as e:  # whatever it is, the driver is to read it
            answer = {"error": f"{type(e).__name__}: {e}"}
        print(json.dumps(answer), flush=True)
    sweep.is_open = False


if __name__ == "__main__":
    main()

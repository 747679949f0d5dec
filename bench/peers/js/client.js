// SPDX-License-Identifier: Apache-2.0
// What every client here shares: the line protocol to the driver, and the record of what arrived when.
//
// The driver writes a JSON object a line, {"op":"schedule",...}, and reads one back for each, {"ok":...} or {"error":text}.
//   open      connects, and makes what has to be there; the fields are the peer's own
//   schedule  {run,n,due_ms}: n items due at one instant, back when the last is acknowledged; {"seconds"}
//   count     how many are waiting
//   subscribe {run,n}: begins to take what is due, with an empty handler
//   collect   {limit_s}: back when all n have arrived, or so long after; {"arrived_ms":[...],"doubled","strange"}
//   close     takes nothing any more
'use strict';
const readline = require('node:readline');

const PAYLOAD_BYTES = 64; // about what names an order and its sequence

const nowMs = () => performance.timeOrigin + performance.now();
const payload = (run, i) => `${run}:${i}:`.padEnd(PAYLOAD_BYTES, '-');

// When each item of one run arrived. An item of another run is none of its business; one that nobody scheduled is strange.
class Arrivals {
  constructor(run, n) {
    Object.assign(this, { run, n, seen: new Uint8Array(n), arrived: [], doubled: 0, strange: 0, wake: () => {} });
  }

  saw(text) {
    const at = nowMs(), [run, number] = String(text).split(':'), i = Number(number);
    if (run !== this.run) return;
    if (!(i >= 0 && i < this.n)) this.strange++;
    else if (this.seen[i]) this.doubled++;
    else {
      this.seen[i] = 1;
      this.arrived.push(at);
      if (this.arrived.length === this.n) this.wake();
    }
  }

  async all(limitS) {
    let timer;
    if (this.arrived.length < this.n) {
      await new Promise((wake) => {
        this.wake = wake;
        timer = setTimeout(wake, limitS * 1000);
      });
    }
    clearTimeout(timer);
    return { arrived_ms: this.arrived.map((ms) => Math.round(ms * 10) / 10), doubled: this.doubled, strange: this.strange };
  }
}

// n items through `one(i)`, which gives a promise; so many under way at once.
async function inFlight(n, most, one) {
  let next = 0;
  const lane = async () => {
    while (next < n) await one(next++);
  };
  await Promise.all(Array.from({ length: Math.min(most, n) }, lane));
}

async function timed(work) {
  const from = nowMs();
  await work();
  return { seconds: (nowMs() - from) / 1000 };
}

// What stops without being asked to (a lost connection) must be seen, not survived.
function serve(ops) {
  const answer = (o) => process.stdout.write(JSON.stringify(o) + '\n');
  let turn = Promise.resolve();
  readline.createInterface({ input: process.stdin }).on('line', (line) => {
    const { op, ...fields } = JSON.parse(line);
    turn = turn
      .then(() => ops[op](fields))
      .then((ok) => answer({ ok: ok === undefined ? null : ok }), (e) => answer({ error: String((e && e.stack) || e) }));
  }).on('close', () => process.exit(0));
}

module.exports = { Arrivals, inFlight, nowMs, payload, serve, timed };

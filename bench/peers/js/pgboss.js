// SPDX-License-Identifier: Apache-2.0
// pg-boss: jobs with startAfter inserted in bulk; taken by work() as it comes, or by a fetch loop of our own.
'use strict';
const { PgBoss } = require('pg-boss');
const { Arrivals, inFlight, payload, serve, timed } = require('./client');

const BULK = 1000, BULKS = 4, BATCH = 1000, LANES = 4, PAUSE_MS = 20;
let boss, own, arrivals, open = false, lanes = [];

async function lane() {
  while (open) {
    const jobs = await boss.fetch('orders', { batchSize: BATCH });
    for (const job of jobs) arrivals.saw(job.data.text);
    if (jobs.length) await boss.complete('orders', jobs.map((job) => job.id));
    else await new Promise((wake) => setTimeout(wake, PAUSE_MS));
  }
}

serve({
  async open({ port, user, loop }) {
    own = loop === 'own';
    boss = new PgBoss({ host: '127.0.0.1', port, user, database: 'postgres', schedule: false });
    boss.on('error', (e) => process.stderr.write(`${e.stack}\n`));
    await boss.start();
    await boss.createQueue('orders');
  },
  schedule: ({ run, n, due_ms }) => timed(() => inFlight(Math.ceil(n / BULK), BULKS, (b) => {
    const jobs = [];
    for (let i = b * BULK; i < Math.min(n, (b + 1) * BULK); i++)
      jobs.push({ data: { text: payload(run, i) }, startAfter: new Date(due_ms) });
    return boss.insert('orders', jobs);
  })),
  async count() {
    const { rows } = await boss.getDb().executeSql("SELECT count(*)::int AS n FROM pgboss.job WHERE name = 'orders' AND state = 'created'");
    return rows[0].n;
  },
  async subscribe({ run, n }) {
    arrivals = new Arrivals(run, n);
    open = own;
    if (own) lanes = Array.from({ length: LANES }, lane);
    else await boss.work('orders', async (jobs) => jobs.forEach((job) => arrivals.saw(job.data.text)));
  },
  collect: ({ limit_s }) => arrivals.all(limit_s),
  async close() {
    open = false;
    await Promise.all(lanes);
    if (!own) await boss.offWork('orders');
  },
});

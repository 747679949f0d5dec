// SPDX-License-Identifier: Apache-2.0
// BullMQ: delayed jobs added in bulk, one worker with many under way.
'use strict';
const { Queue, Worker } = require('bullmq');
const { Arrivals, inFlight, nowMs, payload, serve, timed } = require('./client');

const BULK = 500, BULKS = 4, CONCURRENCY = 200;
let connection, queue, worker, arrivals;

serve({
  async open({ port }) {
    connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null };
    queue = new Queue('orders', { connection });
    await queue.waitUntilReady();
  },
  schedule: ({ run, n, due_ms }) => timed(() => inFlight(Math.ceil(n / BULK), BULKS, (b) => {
    const jobs = [];
    for (let i = b * BULK; i < Math.min(n, (b + 1) * BULK); i++) {
      const timestamp = Math.round(nowMs());
      jobs.push({ name: 'expire', data: payload(run, i), opts: { timestamp, delay: Math.max(1, due_ms - timestamp), removeOnComplete: true } });
    }
    return queue.addBulk(jobs);
  })),
  count: () => queue.getDelayedCount(),
  async subscribe({ run, n }) {
    arrivals = new Arrivals(run, n);
    worker = new Worker('orders', async (job) => arrivals.saw(job.data), { connection, concurrency: CONCURRENCY });
    await worker.waitUntilReady();
  },
  collect: ({ limit_s }) => arrivals.all(limit_s),
  close: () => worker.close(),
});

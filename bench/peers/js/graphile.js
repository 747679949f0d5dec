// SPDX-License-Identifier: Apache-2.0
// graphile-worker: jobs with run_at added in bulk; a runner as it comes, or with many under way and a local queue.
'use strict';
const { Pool } = require('pg');
const { run: runWorker, makeWorkerUtils } = require('graphile-worker');
const { Arrivals, inFlight, payload, serve, timed } = require('./client');

const BULK = 1000, BULKS = 4;
const quiet = new (require('graphile-worker').Logger)(() => () => {});
let pool, utils, runner, arrivals, tuned;

serve({
  async open({ port, user, loop }) {
    tuned = loop === 'own';
    pool = new Pool({ host: '127.0.0.1', port, user, database: 'postgres', max: 12 });
    pool.on('error', (e) => process.stderr.write(`${e.stack}\n`));
    utils = await makeWorkerUtils({ pgPool: pool, logger: quiet });
    await utils.migrate();
  },
  schedule: ({ run, n, due_ms }) => timed(() => inFlight(Math.ceil(n / BULK), BULKS, (b) => {
    const jobs = [];
    for (let i = b * BULK; i < Math.min(n, (b + 1) * BULK); i++)
      jobs.push({ identifier: 'expire', payload: { text: payload(run, i) }, runAt: new Date(due_ms) });
    return utils.addJobs(jobs);
  })),
  count: async () => (await pool.query('SELECT count(*)::int AS n FROM graphile_worker.jobs')).rows[0].n,
  async subscribe({ run, n }) {
    arrivals = new Arrivals(run, n);
    const taskList = { expire: async ({ text }) => arrivals.saw(text) };
    const common = { pgPool: pool, taskList, noHandleSignals: true, logger: quiet };
    runner = await runWorker(tuned ? { ...common, concurrency: 64, pollInterval: 100, preset: {
      worker: { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } } } : common);
  },
  collect: ({ limit_s }) => arrivals.all(limit_s),
  close: () => runner.stop(),
});

// SPDX-License-Identifier: Apache-2.0
// RabbitMQ: a queue nobody consumes, whose messages carry a TTL and are dead-lettered into the one that is consumed.
'use strict';
const amqp = require('amqplib');
const { Arrivals, inFlight, nowMs, payload, serve, timed } = require('./client');

const UNDER_WAY = 1000, PREFETCH = 1000;
let connection, confirms, taker, arrivals;

serve({
  async open({ port, type }) {
    connection = await amqp.connect(`amqp://guest:guest@127.0.0.1:${port}`);
    confirms = await connection.createConfirmChannel();
    const args = type === 'quorum' ? { 'x-queue-type': 'quorum' } : {};
    await confirms.assertQueue('due', { durable: true, arguments: args });
    await confirms.assertQueue('wait', { durable: true, deadLetterExchange: '', deadLetterRoutingKey: 'due', arguments: args });
  },
  schedule: ({ run, n, due_ms }) => timed(() => inFlight(n, UNDER_WAY, (i) => new Promise((done, failed) => {
    const expiration = String(Math.max(1, Math.round(due_ms - nowMs())));
    confirms.sendToQueue('wait', Buffer.from(payload(run, i)), { persistent: true, expiration }, (e) => (e ? failed(e) : done()));
  }))),
  count: async () => (await confirms.checkQueue('wait')).messageCount,
  async subscribe({ run, n }) {
    arrivals = new Arrivals(run, n);
    taker = await connection.createChannel();
    await taker.prefetch(PREFETCH);
    await taker.consume('due', (m) => {
      arrivals.saw(m.content);
      taker.ack(m);
    });
  },
  collect: ({ limit_s }) => arrivals.all(limit_s),
  close: () => taker.close(),
});

// SPDX-License-Identifier: Apache-2.0
// A Vendure on PostgreSQL with two articles: one whose stock does not run out, one with 100. Says "ready" when it can sell.
// Arguments: its port, PostgreSQL's port, PostgreSQL's user, a folder to write in.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { bootstrap, bootstrapWorker, DefaultLogger, DefaultJobQueuePlugin, dummyPaymentHandler, LogLevel } = require('@vendure/core');
const { populate } = require('@vendure/core/cli');

const [port, dbPort, username, dir] = process.argv.slice(2);
const config = {
  apiOptions: { port: Number(port), hostname: '127.0.0.1', adminApiPath: 'admin-api', shopApiPath: 'shop-api' },
  authOptions: { tokenMethod: ['bearer'], superadminCredentials: { identifier: 'root', password: 'root' }, cookieOptions: { secret: 'bench' } },
  dbConnectionOptions: { type: 'postgres', synchronize: true, logging: false, host: '127.0.0.1', port: Number(dbPort), username, database: 'postgres', schema: 'public', poolSize: 20 },
  paymentOptions: { paymentMethodHandlers: [dummyPaymentHandler] },
  importExportOptions: { importAssetsDir: dir },
  logger: new DefaultLogger({ level: LogLevel.Error }),
  plugins: [DefaultJobQueuePlugin],
};
const initialData = {
  defaultLanguage: 'en', defaultZone: 'Asia', countries: [{ name: 'China', code: 'CN', zone: 'Asia' }],
  taxRates: [{ name: 'Standard', percentage: 13 }], shippingMethods: [{ name: 'Post', price: 500 }],
  paymentMethods: [{ name: 'Dummy', handler: { code: 'dummy-payment-handler', arguments: [{ name: 'automaticSettle', value: 'false' }] } }],
  collections: [],
};

async function main() {
  const csv = path.join(dir, 'articles.csv');
  const row = (name, stock) => `${name},${name},An article,,,,,${name},19.99,standard,${stock},true,,`;
  fs.writeFileSync(csv, ['name,slug,description,assets,facets,optionGroups,optionValues,sku,price,taxCategory,stockOnHand,trackInventory,variantAssets,variantFacets',
    row('plenty', 1000000), row('scarce', 100)].join('\n') + '\n');
  await populate(() => bootstrap(config), initialData, csv);
  const worker = await bootstrapWorker(config);
  await worker.startJobQueue();
  process.stdout.write('ready\n');
}

main().catch((e) => {
  process.stderr.write(`${e.stack}\n`);
  process.exit(1);
});

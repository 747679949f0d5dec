// SPDX-License-Identifier: Apache-2.0
// A program of these tests: one JSON object a line in, {"op":...}, one out, {"ok":...} or {"error":{...}}, in order. Ends
// when stdin does.
'use strict';
const readline = require('node:readline');

// What was thrown, as data: own fields too, for SDKs put what matters there.
function told(error) {
  const fields = { name: error?.constructor?.name, message: String(error?.message ?? error) };
  for (const key of Object.keys(error ?? {})) {
    if (['string', 'number', 'boolean'].includes(typeof error[key])) fields[key] = error[key];
  }
  return fields;
}

// ops: name to function (arguments) -> value or promise.
exports.serve = async function serve(ops) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let answer;
    try {
      const { op, ...rest } = JSON.parse(line);
      answer = { ok: (await ops[op](rest)) ?? null };
    } catch (error) {
      answer = { error: told(error) };
    }
    process.stdout.write(JSON.stringify(answer) + '\n');
  }
  process.exit(0);
};

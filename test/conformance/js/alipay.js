// SPDX-License-Identifier: Apache-2.0
// npm alipay-sdk: exec (the gateway), curl (v3), pageExec, and its judgement of notifications.
'use strict';
const { AlipaySdk } = require('alipay-sdk');
const { serve } = require('./lines.js');

let sdk;

serve({
  // The SDK's own options.
  init(options) {
    sdk = new AlipaySdk(options);
  },
  // What the SDK makes of the answer, its signature verified.
  exec({ method, ...params }) {
    return sdk.exec(method, params, { validateSign: true });
  },
  // { data, responseHttpStatus, traceId }
  curl({ http, path, ...options }) {
    return sdk.curl(http, path, options);
  },
  page({ method, http, ...params }) {
    return sdk.pageExec(method, http, params);
  },
  // The decoded fields of a notification.
  notice({ fields }) {
    return sdk.checkNotifySignV2(fields);
  },
});

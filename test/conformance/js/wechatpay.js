// SPDX-License-Identifier: Apache-2.0
// npm wechatpay-axios-plugin: calls whose answers it verifies, and its pieces for notices, for a page's parameters
// and for the platform's own side.
'use strict';
const { Wechatpay, Rsa, Aes, Formatter } = require('wechatpay-axios-plugin');
const { serve } = require('./lines.js');

let sdk, keys;

// What axios throws holds the answer, or what the plugin found wrong with it.
function rethrow(error) {
  const told = new Error(error.message);
  if (error.response) Object.assign(told, { status: error.response.status, ...error.response.data });
  throw told;
}

serve({
  // options: the SDK's own. wanted: the Wechatpay-Serial to send, if any. apiv3: the key of notices.
  init({ options, wanted, apiv3 }) {
    sdk = new Wechatpay({ ...options, headers: wanted ? { 'Wechatpay-Serial': wanted } : {} });
    keys = { ...options, apiv3 };
  },
  async call({ http, path, body, params, fill }) {
    const config = { params, ...fill };
    const link = sdk.chain(path);
    const answer = await (http === 'get' ? link.get(config) : link.post(body, config)).catch(rethrow);
    return { status: answer.status, data: answer.data, serial: answer.headers['wechatpay-serial'] };
  },
  open({ resource }) {
    return Aes.AesGcm.decrypt(resource.ciphertext, keys.apiv3, resource.nonce, resource.associated_data);
  },
  // A notice as its documentation handles one: verified over the raw body, then opened.
  notice({ headers, body }) {
    const { 'Wechatpay-Timestamp': at, 'Wechatpay-Nonce': nonce, 'Wechatpay-Serial': serial, 'Wechatpay-Signature': signature } = headers;
    if (!Rsa.verify(Formatter.response(at, nonce, body), signature, keys.certs[serial])) throw new Error('not verified');
    const { resource, event_type: event } = JSON.parse(body);
    return { event, resource: JSON.parse(Aes.AesGcm.decrypt(resource.ciphertext, keys.apiv3, resource.nonce, resource.associated_data)) };
  },
  // The headers of an answer or a notice.
  sign({ body, serial, privateKey }) {
    const [at, nonce] = [String(Formatter.timestamp()), Formatter.nonce()];
    return { 'Wechatpay-Timestamp': at, 'Wechatpay-Nonce': nonce, 'Wechatpay-Serial': serial,
      'Wechatpay-Signature': Rsa.sign(Formatter.response(at, nonce, body), privateKey) };
  },
  seal({ text, apiv3, nonce, associated }) {
    return Aes.AesGcm.encrypt(text, apiv3, nonce, associated);
  },
  isSigned({ http, target, at, nonce, body, signature, publicKey }) {
    return Rsa.verify(Formatter.request(http, target, at, nonce, body), signature, publicKey);
  },
  page({ appid, prepay_id: id }) {
    const it = { appId: appid, timeStamp: String(Formatter.timestamp()), nonceStr: Formatter.nonce(), package: `prepay_id=${id}`, signType: 'RSA' };
    it.paySign = Rsa.sign(Formatter.joinedByLineFeed(it.appId, it.timeStamp, it.nonceStr, it.package), keys.privateKey);
    return it;
  },
});

// SPDX-License-Identifier: Apache-2.0
// The page of one order inside WeChat: hands the parameters the server signed to WeChat's cashier. Whether it was paid
// is the server's word, never WeChat's answer here.
'use strict';

(function () {
  const T = window.till, el = T.el, say = T.say;
  const order = decodeURIComponent(location.pathname.split('/')[2] || '');
  const parameters = JSON.parse(el('jsapi').textContent);

  function show(s) {
    T.say_problem(el('problem'), null);
    el('subject').textContent = s.subject;
    el('amount').textContent = T.money(s.amount, s.currency);
    const words = T.STATES[s.state] || [s.state, ''];
    say(el('say'), words[0], words[1]);
    document.body.dataset.state = s.state;
    el('pay').hidden = s.state !== 'placed' && s.state !== 'awaiting_payment';
  }

  function pay() {
    window.WeixinJSBridge.invoke('getBrandWCPayRequest', parameters, function () {
      // Whatever it says: the provider is asked.
      T.call('POST', '/pay/' + encodeURIComponent(order) + '/check', {}).then(show, function () {});
    });
  }

  function when_ready(then) {
    if (window.WeixinJSBridge) then();
    else document.addEventListener('WeixinJSBridgeReady', then, {once: true});
  }

  el('order').textContent = order;
  el('pay').addEventListener('click', function () { when_ready(pay); });
  T.follow(order, show, function (p) { T.say_problem(el('problem'), p); });
  when_ready(pay);
})();

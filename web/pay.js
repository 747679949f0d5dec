// SPDX-License-Identifier: Apache-2.0
// The buyer's page of one order. It knows what /pay/{order}/state says and nothing else.
'use strict';

(function () {
  const T = window.till, el = T.el, say = T.say;
  const MARKS = {placed: '⋯', awaiting_payment: '⋯', closing: '⋯', paid: '✓', cancelled: '×', error: '!'};
  const SCAN = {
    alipay: ['Scan with Alipay', '请用支付宝扫码付款'],
    wechatpay: ['Scan with WeChat', '请用微信扫码付款'],
    any: ['Scan with Alipay or WeChat', '请用支付宝或微信扫码付款'],
  };
  const WHY = {
    timeout: ['It was not paid in time. ', '超时未付款，'],
    buyer: ['The buyer cancelled it. ', '买家已取消，'],
    merchant: ['The shop cancelled it. ', '商家已取消，'],
    channel: ['The payment provider could not take it. ', '支付平台未能受理，'],
  };
  const order = decodeURIComponent(location.pathname.split('/')[2] || '');
  const clock = T.new_clock();
  let shown = null, asked_at = 0, qr_loads = 0;

  function show_mark(state) {
    el('qr').hidden = true;
    el('mark').hidden = false;
    el('mark').textContent = MARKS[state] || '?';
    el('mark').dataset.state = state;
  }

  function show_code(is_new) {
    // Another attempt has another code under the same address.
    if (is_new || !el('qr').src) el('qr').src = '/pay/' + encodeURIComponent(order) + '/qr.svg?n=' + qr_loads++;
    el('qr').hidden = false;
    el('mark').hidden = true;
  }

  // On the buyer's own phone there is nothing to scan the code with: he is sent to his wallet's cashier. Inside WeChat
  // other addresses are refused, so there the code stays.
  const is_phone = /Mobile|Android/.test(navigator.userAgent) && !/MicroMessenger/.test(navigator.userAgent);

  function show_wallets(s) {
    const offered = is_phone && s.state === 'awaiting_payment' ? s.wallets : [];
    el('wallets').hidden = offered.length === 0;
    for (const b of el('wallets').children) b.hidden = offered.indexOf(b.dataset.wallet) < 0;
  }

  async function go_to_cashier(event) {
    const button = event.currentTarget;
    button.disabled = true;
    try {
      const answer = await T.call('POST', '/pay/' + encodeURIComponent(order) + '/open', {channel: button.dataset.wallet});
      location.assign(answer.url);
    } catch (p) {
      show_problem(p);
    }
    button.disabled = false;
  }

  function show_text(words, more) {
    say(el('say'), words[0], words[1]);
    el('more').hidden = !more;
    if (more) say(el('more'), more[0], more[1]);
  }

  // What is read and not scanned: an account and a reference, in both languages, a line each.
  function show_instructions(s) {
    const lines = s.instructions.split('\n');
    show_text(['Pay by bank transfer', '请通过银行转账付款'], [lines[0] + ' ', lines.slice(1).join(' ')]);
  }

  function show_words(s) {
    if (s.instructions) return show_instructions(s);
    if (s.state === 'awaiting_payment' && s.has_code) return show_text(SCAN[s.channel] || SCAN.any, null);
    if (s.state === 'closing')
      return show_text(['Please do not pay any more', '请勿再付款'],
        ['This order is being closed. If you have just paid, please wait: we are asking the payment provider.',
          '订单正在关闭。若您刚刚完成付款，请稍候，我们正在向支付平台确认。']);
    if (s.state === 'paid') return show_text(['Paid. Thank you!', '支付成功，谢谢！'], null);
    if (s.state === 'cancelled') {
      const why = WHY[s.reason] || ['', ''];
      return show_text(['This order is cancelled', '订单已取消'],
        [why[0] + 'Please do not use its code any more.', why[1] + '请勿再使用原付款码。']);
    }
    show_text(T.STATES[s.state] || [s.state, ''], null);
  }

  function show(s, is_new) {
    const had_code = shown && shown.has_code && shown.channel === s.channel;
    shown = s;
    clock.tell(s.now);
    T.say_problem(el('problem'), null);
    el('subject').textContent = s.subject;
    el('amount').textContent = T.money(s.amount, s.currency);
    document.title = T.money(s.amount, s.currency) + ' ' + (T.STATES[s.state] || [s.state, '']).join(' ');
    document.body.dataset.state = s.state;
    if (s.has_code) show_code(is_new || !had_code);
    else show_mark(s.state);
    show_words(s);
    show_wallets(s);
    tick();
  }

  function show_problem(p) {
    T.say_problem(el('problem'), p.status === 404 ? null : p);
    if (p.status === 404) {
      shown = null;
      document.body.dataset.state = 'error';
      show_mark('error');
      show_text(['There is no such order', '没有这个订单'], null);
      tick();
    } else if (!shown) {
      show_text(['Not connected, trying again', '连接中断，正在重试'], null);
    }
  }

  function tick() {
    const is_open = shown && (shown.state === 'placed' || shown.state === 'awaiting_payment');
    el('left').hidden = !is_open;
    el('paid').hidden = !is_open || !(shown.has_code || shown.instructions);
    if (!is_open) return;
    const left = Date.parse(shown.expires_at) - clock.now();
    el('countdown').textContent = T.duration(left);
    el('countdown').classList.toggle('is-short', left < 60000);
    if (left > 0 || performance.now() - asked_at < 2000) return;
    asked_at = performance.now(); // the window is over: what does the server make of it?
    followed.look();
  }

  // The provider is asked at once, instead of waiting for its notification or the next check-back.
  el('paid').addEventListener('click', async function () {
    el('paid').disabled = true;
    try {
      show(await T.call('POST', '/pay/' + encodeURIComponent(order) + '/check', {}), false);
    } catch (p) {
      show_problem(p);
    }
    setTimeout(function () { el('paid').disabled = false; }, 3000);
  });

  for (const b of el('wallets').children) b.addEventListener('click', go_to_cashier);
  el('order').textContent = order;
  const followed = T.follow(order, show, show_problem);
  setInterval(tick, 250);
})();

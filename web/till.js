// SPDX-License-Identifier: Apache-2.0
// What the shop and the payment page share. Text of the server only ever becomes textContent, never HTML.
// The payment page also opens inside the browsers of wallets: nothing here is newer than 2018.
'use strict';

window.till = (function () {
  const STATES = {
    placed: ['Preparing the code', '正在生成付款码'],
    awaiting_payment: ['Waiting for payment', '等待付款'],
    closing: ['Closing', '正在关闭'],
    paid: ['Paid', '支付成功'],
    cancelled: ['Cancelled', '已取消'],
  };
  const REASONS = {
    timeout: ['not paid in time', '超时未付款'],
    buyer: ['cancelled by the buyer', '买家取消'],
    merchant: ['cancelled by the shop', '商家取消'],
    channel: ['the payment provider could not take it', '支付平台未能受理'],
  };
  const CODES = {
    unreachable: '无法连接服务器',
    overloaded: '系统繁忙，请稍后再试',
    store_unreadable: '暂时无法读取，请稍后再试',
    insufficient_stock: '库存不足',
    unknown_sku: '商品不存在',
    unknown_order: '没有这个订单',
    cart_empty: '购物车是空的',
    order_already_paid: '订单已支付',
    order_not_paid: '订单尚未支付',
    refund_exceeds_paid: '退款金额超出可退余额',
    order_not_payable: '订单已不能支付',
    channel_unavailable: '该支付方式未开通',
    unauthorized: '需要密钥',
    idempotency_in_progress: '正在处理，请稍候',
    clock_is_moving: '时钟正在调整',
  };

  function el(id) {
    return document.getElementById(id);
  }

  function make(tag, name, text) {
    const e = document.createElement(tag);
    if (name) e.className = name;
    if (text !== undefined) e.textContent = text;
    return e;
  }

  // English with Chinese beside it. What stands there already is left alone, for screen readers and for the eye.
  function say(e, en, zh) {
    const key = en + '\n' + (zh || '');
    if (e.tillSaid === key) return;
    e.tillSaid = key;
    e.textContent = en;
    if (!zh) return;
    const span = make('span', 'zh', zh);
    span.lang = 'zh-CN';
    e.appendChild(document.createTextNode(' '));
    e.appendChild(span);
  }

  function money(amount, currency) {
    try {
      const format = new Intl.NumberFormat('zh-CN', {style: 'currency', currency: currency || 'CNY'});
      return format.format(amount / Math.pow(10, format.resolvedOptions().maximumFractionDigits));
    } catch (e) {
      return amount + ' ' + currency;
    }
  }

  function problem(status, code, detail) {
    const e = new Error(code + ': ' + detail);
    e.status = status;
    e.code = code;
    e.detail = detail;
    return e;
  }

  function say_problem(e, p) {
    e.hidden = !p;
    if (p) say(e, p.code ? p.code + ': ' + p.detail : String(p), CODES[p.code]);
  }

  async function call(method, path, body, headers) {
    const stop = new AbortController();
    const timer = setTimeout(function () { stop.abort(); }, 15000);
    const options = {method: method, headers: Object.assign({}, headers), cache: 'no-store', signal: stop.signal};
    if (body !== undefined) {
      options.headers['Content-Type'] = 'application/json';
      options.body = JSON.stringify(body);
    }
    let answer, text;
    try {
      answer = await fetch(path, options);
      text = await answer.text();
    } catch (e) {
      throw problem(0, 'unreachable', 'the server does not answer');
    } finally {
      clearTimeout(timer);
    }
    let json = null;
    try {
      json = JSON.parse(text);
    } catch (e) {
      // not JSON: the status says enough
    }
    if (answer.ok && json) return json;
    const p = json || {};
    throw problem(answer.status, p.code || 'http_' + answer.status, p.detail || p.title || answer.statusText || 'no detail');
  }

  // The server's time, which a test clock may have moved. Between two tellings it goes on by the monotonic clock.
  function new_clock() {
    let told = NaN, at = 0;
    return {
      tell: function (now) { told = Date.parse(now); at = performance.now(); },
      now: function () { return told + performance.now() - at; }, // NaN before the first telling
    };
  }

  function two(n) {
    return (n < 10 ? '0' : '') + n;
  }

  function duration(ms) {
    const s = Math.max(0, Math.ceil(ms / 1000)), h = Math.floor(s / 3600);
    return (h ? h + ':' : '') + two(Math.floor(s / 60) % 60) + ':' + two(s % 60);
  }

  // Follows one order: tells every state the server sends, and asks where a telling may have been missed. A hidden page
  // holds no stream, because a browser gives all pages of one server six connections together.
  function follow(id, on_state, on_problem) {
    const base = '/pay/' + encodeURIComponent(id);
    let stream = null, timer = 0, heard = 0, stopped = false;

    function close() {
      if (stream) stream.close();
      stream = null;
      clearTimeout(timer);
    }

    function open() {
      stream = new EventSource(base + '/events');
      stream.addEventListener('state', function (e) {
        heard++;
        take(JSON.parse(e.data), true);
      });
      stream.onerror = function () { // ended, or broken: asking tells which
        if (stream) stream.close();
        stream = null;
        later(1500);
      };
    }

    function later(ms) {
      clearTimeout(timer);
      if (!stopped && !document.hidden) timer = setTimeout(look, ms);
    }

    function take(state, is_new) {
      on_state(state, is_new);
      const is_over = state.state === 'paid' || state.state === 'cancelled';
      if (is_over && stream) {
        stream.close();
        stream = null;
      }
      if (!is_over && !stream && !stopped && !document.hidden) open();
      // A cancelled order may still be reopened by late money; a paid one stays paid.
      if (state.state !== 'paid') later(state.state === 'closing' ? 5000 : 15000);
    }

    async function look() {
      const before = heard;
      clearTimeout(timer);
      try {
        const state = await call('GET', base + '/state');
        if (!stopped && heard === before) take(state, false); // else the stream knew something newer
      } catch (p) {
        if (stopped) return;
        if (p.status === 404) close();
        else later(3000);
        on_problem(p);
      }
    }

    function turned() {
      if (document.hidden) close();
      else look();
    }

    document.addEventListener('visibilitychange', turned);
    look();
    return {
      look: look,
      stop: function () {
        stopped = true;
        close();
        document.removeEventListener('visibilitychange', turned);
      },
    };
  }

  return {STATES: STATES, REASONS: REASONS, el: el, make: make, say: say, say_problem: say_problem, money: money, call: call,
    new_clock: new_clock, duration: duration, follow: follow};
})();

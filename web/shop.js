// SPDX-License-Identifier: Apache-2.0
// The demo shop of `till dev`: a client of the public API like any other, with nothing of its own behind it.
'use strict';

(function () {
  const T = window.till, el = T.el, make = T.make, say = T.say, call = T.call;
  const config = window.till_config || {};
  const MARKS = {placed: '⋯', awaiting_payment: '⋯', closing: '⋯', paid: '✓', cancelled: '×'};
  const EVENTS = ['order.placed', 'order.awaiting_payment', 'order.paid', 'order.closing', 'order.cancelled', 'payment.late',
    'payment.duplicate', 'payment.mismatch', 'refund.succeeded', 'refund.failed'];
  const KINDS = {state: '状态', half: '半消息', checkback: '回查', provider: '支付平台', notification: '通知', message: '消息',
    sweep: '兜底扫描', webhook: '回调', operator: '人工'};
  const WARES_PAGE = 48, ORDERS_SHOWN = 15;

  function random_text() {
    return Array.from(crypto.getRandomValues(new Uint8Array(12)), function (b) { return (b + 256).toString(16).slice(1); }).join('');
  }

  // Storage may be forbidden by the browser; the shop then forgets with the page.
  function recall(name) {
    try { return localStorage.getItem(name); } catch (e) { return null; }
  }
  function keep(name, text) {
    try { localStorage.setItem(name, text); } catch (e) { /* forgotten */ }
  }

  // --- One line for whatever went wrong; the next success of the same kind takes it away

  let problem_of = '';

  function failed(what, p) {
    problem_of = what;
    T.say_problem(el('problem'), p);
  }

  function went_well(what) {
    if (problem_of === what) T.say_problem(el('problem'), null);
  }

  // --- Catalogue

  const wares = new Map(); // sku -> {sku, element, parts}
  let wares_wanted = WARES_PAGE;

  function new_ware(k) {
    const element = make('li', 'ware'), row = make('div', 'row'), stepper = make('div', 'stepper');
    const w = {k: k, element: element, stock: make('span', 'stock small'), price: make('span', 'price'), title: make('span', 'title'),
      less: make('button', '', '−'), more: make('button', '', '+'), count: make('output')};
    w.less.type = w.more.type = 'button';
    w.less.setAttribute('aria-label', 'One less 减少一件: ' + k.title);
    w.more.setAttribute('aria-label', 'One more 增加一件: ' + k.title);
    w.less.addEventListener('click', function () { cart_step(k.sku, -1); });
    w.more.addEventListener('click', function () { cart_step(k.sku, 1); });
    element.dataset.sku = k.sku;
    stepper.append(w.less, w.count, w.more);
    row.append(w.price, stepper);
    element.append(w.title, w.stock, row);
    return w;
  }

  function show_ware(w) {
    const n = quantity_of(w.k.sku), free = w.k.available;
    w.title.textContent = w.k.title;
    w.price.textContent = T.money(w.k.price, w.k.currency);
    w.count.textContent = n;
    w.less.disabled = n === 0;
    w.more.disabled = n >= free;
    w.element.classList.toggle('is-wanted', n > 0);
    w.stock.classList.toggle('is-out', free < Math.max(n, 1));
    if (free === 0) say(w.stock, 'sold out', '已售罄');
    else if (free < n) say(w.stock, 'only ' + free + ' left', '仅剩 ' + free + ' 件');
    else say(w.stock, free + ' available', '可售 ' + free + ' 件');
    w.element.title = w.k.sku + ': ' + free + ' available, ' + w.k.held + ' held, ' + w.k.sold + ' sold';
  }

  async function load_wares() {
    let cursor = '', more = true;
    const rows = [];
    while (more && rows.length < wares_wanted) {
      const page = await call('GET', '/v1/skus?limit=' + WARES_PAGE + (cursor && '&cursor=' + encodeURIComponent(cursor)));
      rows.push.apply(rows, page.data);
      more = page.has_more;
      cursor = page.next_cursor || '';
    }
    for (const k of rows) {
      let w = wares.get(k.sku);
      if (!w) {
        w = new_ware(k);
        wares.set(k.sku, w);
        el('goods').append(w.element);
      }
      w.k = k;
      show_ware(w);
    }
    el('goods-none').hidden = rows.length > 0;
    el('goods-more').hidden = !more;
  }

  // --- Cart: the server's is the true one; what was clicked and not yet answered is in `clicked`

  const cart_id = recall('till_cart') || 'cart-' + random_text();
  const clicked = new Map(); // sku -> quantity
  let cart = {items: [], amount: 0, currency: 'CNY'};
  let cart_queue = Promise.resolve();
  let placing_key = ''; // kept until an order came of it, the cart or the channel changed: asking twice places once

  function quantity_of(sku) {
    if (clicked.has(sku)) return clicked.get(sku);
    const line = cart.items.find(function (i) { return i.sku === sku; });
    return line ? line.quantity : 0;
  }

  function cart_path(sku) {
    return '/v1/carts/' + encodeURIComponent(cart_id) + (sku ? '/items/' + encodeURIComponent(sku) : '');
  }

  function show_cart() {
    el('cart').hidden = cart.items.length === 0;
    el('cart-none').hidden = cart.items.length > 0;
    el('lines').replaceChildren.apply(el('lines'), cart.items.map(function (i) {
      const li = make('li');
      li.append(make('span', '', i.title + ' × ' + i.quantity), make('span', '', T.money(i.price * i.quantity, cart.currency)));
      return li;
    }));
    el('total').textContent = T.money(cart.amount, cart.currency);
    wares.forEach(show_ware);
  }

  async function load_cart() {
    cart = await call('GET', cart_path());
    show_cart();
  }

  function cart_step(sku, by) {
    clicked.set(sku, Math.max(0, quantity_of(sku) + by));
    placing_key = '';
    show_ware(wares.get(sku));
    cart_queue = cart_queue.then(function () { return cart_send(sku); });
  }

  async function cart_send(sku) {
    const quantity = clicked.get(sku);
    if (quantity === undefined) return; // a later click's sending took it along
    try {
      cart = await call('PUT', cart_path(sku), {quantity: quantity});
      went_well('cart');
    } catch (p) {
      failed('cart', p);
    }
    if (clicked.get(sku) === quantity) clicked.delete(sku);
    show_cart();
  }

  async function place(e) {
    e.preventDefault();
    const button = el('place');
    button.disabled = true;
    say(button, 'Placing', '正在提交');
    await cart_queue;
    const channel = el('cart').elements.channel.value;
    if (!placing_key) placing_key = 'shop-' + random_text();
    try {
      const o = await call('POST', '/v1/orders', {cart: cart_id, channel: channel}, {'Idempotency-Key': placing_key});
      placing_key = '';
      went_well('place');
      cart = {items: [], amount: 0, currency: 'CNY'}; // as the server's now is
      show_cart();
      wants_view = true;
      location.hash = o.id;
    } catch (p) {
      failed('place', p);
    }
    button.disabled = false;
    say(button, 'Place order', '提交订单');
    refresh_soon();
  }

  // --- The order in view

  const clock = T.new_clock();
  let order = null, pay = null, followed = null, shown_id = '', asked_at = 0, qr_loads = 0, code_of = '';
  let wants_view = false; // somebody asked for this order: bring it to where he looks

  function select() {
    const id = location.hash.slice(1);
    if (id === shown_id) return;
    if (followed) followed.stop();
    shown_id = id;
    order = pay = followed = null;
    code_of = '';
    went_well('order');
    el('order').hidden = true;
    el('timeline').replaceChildren();
    if (id) followed = T.follow(id, function (s, is_new) { take_pay(id, s, is_new); }, function (p) { failed('order', p); });
  }

  function take_pay(id, s, is_new) {
    clock.tell(s.now);
    pay = s;
    if (is_new) refresh_soon(); // stock and lists changed with it
    load_order(id);
  }

  async function load_order(id) {
    try {
      const path = '/v1/orders/' + encodeURIComponent(id);
      const got = await Promise.all([call('GET', path), call('GET', path + '/timeline')]);
      if (id !== shown_id || (order && order.version > got[0].version)) return;
      order = got[0];
      went_well('order');
      show_order();
      show_timeline(got[1].data);
    } catch (p) {
      if (id === shown_id) failed('order', p);
    }
  }

  function wallet_url(code) {
    const page = location.protocol + '//' + location.hostname + ':' + config.sandbox_port + '/wallet';
    return code ? page + '?code=' + encodeURIComponent(code) : page;
  }

  function fact(en, zh, text) {
    if (text === undefined || text === '') return [];
    const dt = make('dt');
    say(dt, en, zh);
    return [dt, make('dd', 'number', text)];
  }

  function contents_of(o) {
    return o.items.length ? o.items.map(function (i) { return i.title + ' × ' + i.quantity; }).join(', ') : o.subject || '';
  }

  function show_facts() {
    const p = order.payment || {};
    const why = T.REASONS[order.reason];
    el('facts').replaceChildren.apply(el('facts'), [].concat(
      fact('Items', '商品', contents_of(order)),
      fact('Amount', '金额', T.money(order.amount, order.currency)),
      fact('Reason', '原因', why && why.join(' ')),
      fact('Paid', '已付', order.paid_amount ? T.money(order.paid_amount, order.currency) : ''),
      fact('Refunded', '已退', order.refunded_amount ? T.money(order.refunded_amount, order.currency) : ''),
      fact('Payment', '支付', p.channel && p.channel + ', ' + p.state),
      fact('Number', '商户单号', p.out_trade_no),
      fact('Policy', '策略', order.policy),
      fact('Order', '订单号', order.id)));
  }

  function show_badge(e, state) {
    const words = T.STATES[state] || [state, ''];
    e.dataset.state = state;
    say(e, words[0], words[1]);
  }

  function show_qr(has_code) {
    const attempt = order.payment ? order.payment.id : 'page';
    if (has_code && code_of !== order.id + attempt) {
      code_of = order.id + attempt;
      el('qr').src = '/pay/' + encodeURIComponent(order.id) + '/qr.svg?n=' + qr_loads++;
    }
    el('qr').hidden = !has_code;
    el('mark').hidden = has_code;
    el('mark').textContent = MARKS[order.state] || '?';
    el('mark').dataset.state = order.state;
  }

  function show_order() {
    const is_open = order.state === 'placed' || order.state === 'awaiting_payment';
    const code = order.payment ? order.payment.qr_code : order.pay_url;
    el('order').hidden = false;
    el('order').dataset.order = order.id;
    show_badge(el('state'), order.state);
    show_qr(is_open && pay.has_code);
    show_facts();
    el('open-wallet').hidden = !(is_open && code && config.sandbox_port);
    if (code) el('open-wallet').href = wallet_url(code);
    el('open-pay').href = '/pay/' + encodeURIComponent(order.id);
    el('cancel').hidden = !is_open;
    el('check').hidden = !is_open && order.state !== 'closing';
    el('refund').hidden = !(order.state === 'paid' && order.refunded_amount < order.paid_amount);
    tick();
    if (wants_view) el('scan').scrollIntoView({block: 'nearest'});
    wants_view = false;
  }

  function clock_text(ms, with_ms) {
    const d = new Date(ms);
    const text = [d.getHours(), d.getMinutes(), d.getSeconds()].map(function (n) { return (n < 10 ? '0' : '') + n; }).join(':');
    return with_ms ? text + '.' + ('00' + d.getMilliseconds()).slice(-3) : text;
  }

  function trace_text(t) {
    const words = [];
    if (t.to) words.push(t.from ? t.from + ' → ' + t.to : t.to);
    if (t.n !== undefined) words.push('no. ' + t.n);
    if (t.channel) words.push(t.channel);
    if (t.method) words.push(t.method);
    if (t.answer) words.push(t.answer);
    if (t.outcome) words.push(t.outcome);
    if (t.detail) words.push('(' + t.detail + ')');
    if (t.ms !== undefined) words.push(t.ms + ' ms');
    return words.join(' ');
  }

  function show_timeline(rows) {
    const list = el('timeline');
    while (list.children.length > rows.length) list.lastChild.remove();
    for (let i = list.children.length; i < rows.length; i++) { // rows are only ever added
      const li = make('li'), time = make('time', '', clock_text(Date.parse(rows[i].at), true)), what = make('div'), kind = make('b');
      time.dateTime = rows[i].at;
      li.dataset.kind = rows[i].kind;
      say(kind, rows[i].kind, KINDS[rows[i].kind]);
      what.append(kind, ' ', trace_text(rows[i]));
      li.append(time, what);
      list.append(li);
    }
  }

  async function order_post(e, action, body, key) {
    const button = e.currentTarget, id = shown_id;
    const headers = key ? {'Idempotency-Key': key} : {};
    button.disabled = true;
    try {
      await call('POST', '/v1/orders/' + encodeURIComponent(id) + '/' + action, body, headers);
      went_well(action);
    } catch (p) {
      failed(action, p);
    }
    button.disabled = false;
    refresh_soon();
    if (id === shown_id) load_order(id);
  }

  // --- Recent orders

  const rows = new Map(); // order id -> its line

  function new_row(id) {
    const li = make('li'), button = make('button');
    const upper = make('span'), lower = make('span');
    const r = {li: li, what: make('span', 'what'), state: make('span', 'badge'), time: make('span', 'small dim number'),
      amount: make('span', 'amount number')};
    button.type = 'button';
    button.addEventListener('click', function () {
      wants_view = true;
      location.hash = id;
      if (id === shown_id && order) show_order();
    });
    upper.append(r.what, r.amount);
    lower.append(r.time, r.state);
    button.append(upper, lower);
    li.append(button);
    li.dataset.order = id;
    return r;
  }

  async function load_orders() {
    const page = await call('GET', '/v1/orders?limit=' + ORDERS_SHOWN);
    const ids = page.data.map(function (o) { return o.id; });
    rows.forEach(function (r, id) {
      if (ids.indexOf(id) >= 0) return;
      r.li.remove();
      rows.delete(id);
    });
    page.data.forEach(function (o, i) {
      const r = rows.get(o.id) || new_row(o.id), here = el('orders').children[i];
      rows.set(o.id, r);
      r.what.textContent = contents_of(o);
      r.time.textContent = clock_text(Date.parse(o.created_at), false);
      r.amount.textContent = T.money(o.amount, o.currency) + (o.refunded_amount ? ' − ' + T.money(o.refunded_amount, o.currency) : '');
      r.li.classList.toggle('is-shown', o.id === shown_id);
      show_badge(r.state, o.state);
      if (here !== r.li) el('orders').insertBefore(r.li, here || null);
    });
    el('orders-none').hidden = page.data.length > 0;
  }

  // --- Staying fresh: each event asks for a look, and many events in a row share one

  let refresh_timer = 0, last_event = recall('till_last_event') || '', stream = null;

  function refresh_soon() {
    if (!refresh_timer && !document.hidden) refresh_timer = setTimeout(refresh, 200);
  }

  async function refresh() {
    try {
      await Promise.all([load_wares(), load_orders(), cart_queue.then(load_cart), load_clock()]);
      if (order && order.state !== 'awaiting_payment') await load_order(shown_id); // refunds make no new state
      went_well('refresh');
    } catch (p) {
      failed('refresh', p);
    }
    refresh_timer = 0;
    keep('till_last_event', last_event);
  }

  function listen() {
    stream = new EventSource('/v1/events/stream' + (last_event && '?after=' + encodeURIComponent(last_event)));
    EVENTS.forEach(function (type) {
      stream.addEventListener(type, function (e) {
        last_event = e.lastEventId;
        refresh_soon();
      });
    });
    stream.onerror = function () {
      if (!stream || stream.readyState !== EventSource.CLOSED) return; // it comes back by itself
      last_event = ''; // a cursor of another life of this server
      stream = null;
      setTimeout(turned, 5000);
    };
  }

  function turned() {
    if (document.hidden) {
      if (stream) stream.close();
      stream = null;
    } else {
      if (!stream) listen();
      refresh_soon();
    }
  }

  // --- Time

  const test_clock = T.new_clock();

  async function load_clock() {
    if (config.has_test_clock) test_clock.tell((await call('GET', '/dev/clock')).now);
  }

  async function advance(e) {
    const buttons = Array.from(el('clock').querySelectorAll('button')), by = e.currentTarget.dataset.advance;
    buttons.forEach(function (b) { b.disabled = true; });
    try {
      const answer = await call('POST', '/dev/clock', {advance: by});
      test_clock.tell(answer.now);
      went_well('clock');
      if (!answer.settled) failed('clock', {code: 'not_settled', detail: 'time moved, but not everything due was done within 10 s'});
    } catch (p) {
      failed('clock', p);
    }
    buttons.forEach(function (b) { b.disabled = false; });
    if (followed) followed.look();
    refresh_soon();
  }

  function tick() {
    if (config.has_test_clock && test_clock.now()) el('now').textContent = clock_text(test_clock.now(), false);
    const is_open = order && pay && (order.state === 'placed' || order.state === 'awaiting_payment');
    el('left').hidden = !is_open;
    if (!is_open) return;
    const left = Date.parse(order.expires_at) - clock.now();
    el('countdown').textContent = T.duration(left);
    el('countdown').classList.toggle('is-short', left < 60000);
    if (left > 0 || performance.now() - asked_at < 2000) return;
    asked_at = performance.now();
    followed.look();
  }

  // --- Beginning

  keep('till_cart', cart_id);
  el('cart').addEventListener('submit', place);
  el('cart').addEventListener('change', function () { placing_key = ''; });
  el('goods-more').addEventListener('click', function () { wares_wanted += WARES_PAGE; refresh_soon(); });
  el('cancel').addEventListener('click', function (e) { order_post(e, 'cancel', {reason: 'buyer'}); });
  el('check').addEventListener('click', function (e) { order_post(e, 'check', {}); });
  el('refund').addEventListener('click', function (e) { order_post(e, 'refunds', {}, 'shop-' + random_text()); });
  el('clock').querySelectorAll('button').forEach(function (b) { b.addEventListener('click', advance); });
  el('clock').hidden = !config.has_test_clock;
  el('wallet').hidden = !config.sandbox_port;
  if (config.sandbox_port) el('wallet').href = wallet_url('');
  window.addEventListener('hashchange', function () { select(); refresh_soon(); });
  document.addEventListener('visibilitychange', turned);
  setInterval(tick, 250);
  setInterval(refresh_soon, 15000);
  setInterval(function () { if (order && !document.hidden && order.state !== 'paid' && order.state !== 'cancelled') load_order(shown_id); }, 3000);
  select();
  turned();
})();

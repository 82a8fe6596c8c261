'use strict';
/* Draws the facts that the compiler wrote.  Facts are arrays, to be small; the names of their parts
 * stand where they are unpacked. */
const facts = JSON.parse(document.getElementById('facts').textContent);
const S = facts.strings;
const at = id => document.getElementById(id);

/* ---- small things ---- */

function el(tag, props, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(props || {}))
    k === 'class' ? e.className = v : k.startsWith('on') ? e[k] = v : e.setAttribute(k, v);
  e.append(...children.filter(c => c !== null && c !== undefined && c !== ''));
  return e;
}
const count = n => Math.round(n).toLocaleString('en-US');
function scaled(n, units, step) {
  let i = 0;
  while (n >= step && i + 1 < units.length) { n /= step; i++; }
  return (i === 0 || n >= 100 ? n.toFixed(0) : n.toPrecision(3)) + ' ' + units[i];
}
const bytes = n => scaled(n, ['B', 'KiB', 'MiB', 'GiB', 'TiB'], 1024);
const flops = n => n ? scaled(n, ['', 'K', 'M', 'G', 'T', 'P'], 1000) : '';
const seconds = s => s >= 1 ? s.toPrecision(3) + ' s'
  : s >= 1e-3 ? (s * 1e3).toPrecision(3) + ' ms' : (s * 1e6).toPrecision(3) + ' µs';
const pattern = path => path.split('.').map(p => /^\d+$/.test(p) ? '*' : p).join('.');

function table(to, heads, rows) {
  to.replaceChildren(el('tr', null, ...heads.map(h => el('th', null, h))),
    ...rows.map(r => r instanceof Node ? r : el('tr', null, ...r.map(c =>
      c instanceof Node && c.tagName === 'TD' ? c : el('td', null, c)))));
}
const path_cell = text => el('td', { class: 'path' }, text);

/* ---- source ---- */

function line_link(code) {
  if (!code) return null;
  const file = code >>> 20, line = code & 0xfffff;
  if (!facts.sources[file]) return null;
  return el('a', { class: 'line', title: 'show in the source', 'data-line': code,
    onclick: e => { e.stopPropagation(); show_line(file, line); } },
    facts.sources[file].name + ':' + line);
}
function show_line(file, line) {
  document.querySelectorAll('#source li.on').forEach(l => l.classList.remove('on'));
  const li = at('l' + file + '.' + line);
  at('source').classList.add('open');
  if (!li) return;
  li.classList.add('on');
  const box = at('source');
  box.scrollTop += li.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 3;
}
function draw_source() {
  facts.sources.forEach((s, f) => at('files').append(el('h3', null, s.name),
    el('ol', null, ...s.text.replace(/\n$/, '').split('\n').map((text, i) =>
      el('li', { id: 'l' + f + '.' + (i + 1) }, text)))));
  at('close').onclick = () => at('source').classList.remove('open');
}

/* ---- overview, parameters, blocks ---- */

function draw_overview() {
  const s = facts.summary;
  at('model').textContent = facts.model;
  at('sizes').textContent = [facts.command,
    Object.entries(s.sizes).map(([k, v]) => k + ' = ' + v).join(', ')].filter(x => x).join('  ·  ');
  table(at('figures'), ['program', 'FLOPs', 'traffic', 'pool', 'bound', 'ratio', 'plain sum',
    'instructions', 'barriers'], s.programs.map(p => [p.program, flops(p.flops),
    bytes(p.traffic_bytes), bytes(p.pool_bytes), bytes(p.bound_bytes), p.ratio.toFixed(4),
    bytes(p.plain_bytes), count(p.instructions), count(p.barriers)]));
  at('memory').textContent = 'Besides the pool: parameters ' + bytes(s.parameter_bytes) +
    (s.optimizer_bytes ? ', optimizer ' + bytes(s.optimizer_bytes) : '') +
    (s.cache_bytes ? ', cache ' + bytes(s.cache_bytes) : '') + '.';
}
function draw_parameters() {
  const rows = new Map();
  for (const [name, type, n, line] of facts.parameters) {
    const key = pattern(name) + ' ' + type;
    const row = rows.get(key) || { name, type, n, line, times: 0 };
    row.times++;
    rows.set(key, row);
  }
  const total = facts.parameters.reduce((sum, p) => sum + p[2], 0);
  table(at('weights'), ['name', '', 'type', 'elements', 'share', 'line'],
    [...rows.values()].map(r => [path_cell(r.times > 1 ? pattern(r.name) : r.name),
      r.times > 1 ? r.times + ' ×' : '', path_cell(r.type), count(r.n),
      (100 * r.n * r.times / total).toFixed(1) + ' %', line_link(r.line) || ''])
      .concat([['all', '', '', count(total), '', '']]));
}
function draw_blocks() {
  const rows = new Map();
  for (const b of facts.summary.blocks) {
    const same = [pattern(b.path), b.parameters, b.flops, b.activation_bytes].join();
    const row = rows.get(same) || { ...b, times: 0 };
    row.times++;
    rows.set(same, row);
  }
  table(at('tree'), ['block', '', 'parameters', 'FLOPs', 'activations', 'cache/token'],
    [...rows.values()].map(b => [path_cell(b.times > 1 ? pattern(b.path) : b.path || facts.model),
      b.times > 1 ? b.times + ' ×' : '', count(b.parameters), flops(b.flops),
      b.activation_bytes ? bytes(b.activation_bytes) : '',
      b.cache_bytes_per_token ? bytes(b.cache_bytes_per_token) : '']));
}

/* ---- graph ---- */

function unpack(program) {
  const timed = facts.profile && facts.profile.program === program.name ? facts.profile : null;
  const units = program.units.map(([kernel, instrs, path, before, after, work, nodes, reads, stores], i) => {
    const u = { i, kernel: S[kernel], path: S[path], before, after, work, reads, instrs, apart: [],
      stores: stores.map(s => S[s]),
      nodes: nodes.map(([op, line, type]) => ({ op: S[op], line, type: S[type] })) };
    if (timed) {
      const rows = instrs.map(k => timed.instructions[k]).filter(x => x);
      u.time = rows.reduce((sum, r) => sum + r.seconds, 0);
      u.roof = rows.reduce((sum, r) => sum + r.roof_seconds, 0);
    }
    u.sign = [u.kernel, pattern(u.path), ...u.nodes.map(n => n.op + n.line + n.type)].join();
    return u;
  });
  for (const [a, b, why] of program.apart)
    if (units[a] && units[b]) units[b].apart.push([a, why]);
  return units;
}

/* The units as runs: `times` repetitions of the `period` units from `from` on.  A period is taken
 * where it covers the most. */
function fold(units) {
  const runs = [], longest = 160;
  for (let i = 0; i < units.length;) {
    let best = { from: i, period: 1, times: 1 };
    for (let p = 1; p <= longest && i + 2 * p <= units.length; p++) {
      let n = 0;
      while (i + p + n < units.length && units[i + n].sign === units[i + p + n].sign) n++;
      const times = 1 + Math.floor(n / p);
      if (times > 1 && times * p > best.times * best.period) best = { from: i, period: p, times };
    }
    runs.push(best);
    i += best.period * best.times;
  }
  return runs;
}

const kind_of = u => u.nodes.length > 1 && u.kernel === 'row' ? 'group'
  : u.kernel.startsWith('gemm') ? 'matmul' : u.kernel === 'row' ? '' : 'other';

function ops_text(u) {
  const out = [];
  let last = 0;
  u.nodes.forEach((n, i) => {
    if (i) out.push(' ');
    out.push(el('b', null, n.op));
    if (n.line && n.line !== last) out.push(' ', line_link(n.line) || '');
    last = n.line;
  });
  return out;
}

function card(u, units, times) {
  const where = times > 1 ? pattern(u.path) : u.path;
  const saved = u.after < u.before ? bytes(u.before) + ' → ' + bytes(u.after) : bytes(u.after);
  const time = u.time === undefined ? '' : seconds(u.time) + (u.time ? ', ' +
    Math.round(100 * u.roof / u.time) + ' % of the roof' : '') + ' · ';
  const name = v => units[v].kernel + (units[v].path ? ' ' + units[v].path : '');
  const more = el('div', { class: 'more' },
    el('div', null, 'results: ', [...new Set(u.nodes.map(n => n.type))].join('  ')),
    u.stores.length ? el('div', null, 'storages: ' + u.stores.join(', ')) : null,
    u.reads.length ? el('div', null, 'reads: ' + u.reads.map(name).join(', ')) : null,
    ...u.apart.map(([a, why]) => el('div', null, 'not fused with ' + name(a) + ': ',
      el('b', null, facts.reasons[why][0]), ', ' + facts.reasons[why][1])));
  const c = el('div', { class: 'card ' + kind_of(u), 'data-unit': u.i },
    el('div', { class: 'head' }, el('span', { class: 'kernel' },
      u.nodes.length > 1 && u.kernel === 'row' ? 'row program of ' + u.nodes.length : u.kernel || 'no instruction'),
      el('span', { class: 'where' }, where),
      el('span', { class: 'what' }, time + saved + (u.work ? ' · ' + flops(u.work) + 'FLOP' : ''))),
    el('div', { class: 'ops' }, ...ops_text(u)), more);
  if (u.share) c.append(el('div', { class: 'heat', style: 'width:' + Math.max(.5, 100 * u.share) + '%' }));
  c.onclick = () => select(c);
  return c;
}

let arcs = [];
function select(c) {
  const was = c.classList.contains('on');
  document.querySelectorAll('.card.on').forEach(x => x.classList.remove('on'));
  if (!was) {
    c.classList.add('on');
    const first = c.querySelector('a.line');
    if (first && window.innerWidth >= 1100) first.onclick(new Event('click'));
  }
  draw_arcs();
}
function draw_arcs() {
  const box = at('cards'), svg = box.querySelector('svg'), top = box.getBoundingClientRect().top;
  const chosen = document.querySelector('.card.on');
  svg.replaceChildren();
  svg.setAttribute('height', box.clientHeight);
  const middle = c => c.getBoundingClientRect().top - top + 16;
  for (const [from, to] of arcs) {
    const a = middle(from), b = middle(to), on = chosen === from || chosen === to;
    const reach = Math.max(2, 44 - 5 * Math.log2(1 + Math.abs(b - a) / 24));
    const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
    path.setAttribute('d', `M46 ${a} C${reach} ${a} ${reach} ${b} 46 ${b}`);
    if (on) path.setAttribute('class', 'on');
    svg.append(path);
  }
}

function draw_graph(program) {
  const units = unpack(program), runs = fold(units), shown = [];
  const total = units.reduce((sum, u) => sum + (u.time || 0), 0);
  const box = at('cards');
  units.forEach(u => { u.share = total ? u.time / total : 0; });
  box.replaceChildren(document.createElementNS('http://www.w3.org/2000/svg', 'svg'));
  for (const r of runs) {
    let to = box;
    if (r.times > 1) {
      to = el('div', { class: 'fold' }, el('div', { class: 'times' }, r.times + ' × the following' +
        (r.period > 1 ? ' ' + r.period : '')));
      box.append(to);
    }
    for (let k = 0; k < r.period; k++) {
      const same = [];
      for (let t = 0; t < r.times; t++) same.push(units[r.from + t * r.period + k]);
      const u = { ...same[0] };
      for (const key of ['time', 'roof', 'share'])
        if (u.time !== undefined) u[key] = same.reduce((sum, x) => sum + x[key], 0);
      const c = card(u, units, r.times);
      same.forEach(x => { shown[x.i] = c; });
      to.append(c);
    }
  }
  const seen = new Map();
  arcs = [];
  units.forEach(u => u.reads.forEach(v => {
    const from = shown[v], to = shown[u.i];
    if (from === to || seen.get(to)?.has(from)) return;
    if (!seen.has(to)) seen.set(to, new Set());
    seen.get(to).add(from);
    arcs.push([from, to]);
  }));
  draw_arcs();
  draw_hot(units, total);
  draw_apart(program, units);
  document.querySelector('#graph .of').textContent = `${program.name}: ${program.nodes} nodes in ` +
    `${units.length} units; memory traffic ${bytes(program.before)} → ${bytes(program.after)}`;
}
function draw_hot(units, total) {
  at('hot').replaceChildren();
  if (!total) return;
  const lines = new Map(), rows = el('table');
  units.forEach(u => {
    const line = (u.nodes.find(n => n.line) || { line: 0 }).line;
    const row = lines.get(line) || { line, time: 0, roof: 0, n: 0 };
    row.time += u.time; row.roof += u.roof; row.n += u.instrs.length;
    lines.set(line, row);
  });
  table(rows, ['line', 'time', 'share', 'of the roof', 'instructions'],
    [...lines.values()].sort((a, b) => b.time - a.time).slice(0, 12).map(r =>
      [line_link(r.line) || '(derived)', seconds(r.time), (100 * r.time / total).toFixed(1) + ' %',
        Math.round(100 * r.roof / r.time) + ' %', count(r.n)]));
  at('hot').append(el('h3', null, 'Measured: ' + seconds(facts.profile.run_seconds) + ' a run, ' +
    facts.profile.threads + ' thread(s), ' + facts.profile.isa), el('div', { class: 'scroll' }, rows));
}
function draw_apart(program, units) {
  const why = new Map();
  for (const [a, b, r] of program.apart) {
    const row = why.get(r) || { n: 0, example: [a, b] };
    row.n++;
    why.set(r, row);
  }
  const name = u => units[u] ? units[u].nodes.map(n => n.op).slice(0, 3).join(' ') + ' ' + pattern(units[u].path) : '';
  document.querySelector('#apart summary').textContent =
    `${program.apart.length} edges that were not fused, and why`;
  table(document.querySelector('#apart table'), ['reason', 'edges', 'meaning', 'for example'],
    [...why.entries()].sort((a, b) => b[1].n - a[1].n).map(([r, row]) => [facts.reasons[r][0],
      count(row.n), el('td', { class: 'left' }, facts.reasons[r][1]),
      path_cell(name(row.example[0]) + '  →  ' + name(row.example[1]))]));
}

/* ---- tensor pool ---- */

const colours = ['#4e79a7', '#f28e2b', '#59a14f', '#b07aa1', '#76b7b2', '#edc948', '#9c755f', '#ff9da7'];
const colour_of = b => colours[[...b.op + pattern(b.path)].reduce((h, c) => (h * 31 + c.charCodeAt(0)) >>> 0, 7) % colours.length];
let pool = null;

function live_curve(buffers, n) {
  const live = new Float64Array(n + 1);
  for (const b of buffers) { live[b.first] += b.bytes; if (b.last + 1 <= n) live[b.last + 1] -= b.bytes; }
  for (let i = 1; i <= n; i++) live[i] += live[i - 1];
  return live;
}
function draw_pool(program) {
  const buffers = program.buffers.map(([offset, size, first, last, op, path, line]) =>
    ({ offset, bytes: size, first, last, op: S[op], path: S[path], line }));
  const live = live_curve(buffers, program.nodes);
  let peak = 0;
  for (let i = 0; i < program.nodes; i++) if (live[i] > live[peak]) peak = i;
  pool = { program, buffers, live, peak, chosen: null };
  document.querySelector('#pool .of').textContent = `${program.name}: ${bytes(program.pool)}, lower ` +
    `bound ${bytes(program.bound)}, ratio ${(program.bound ? program.pool / program.bound : 1).toFixed(4)}`;
  const there = buffers.filter(b => b.first <= peak && peak <= b.last).sort((a, b) => b.bytes - a.bytes);
  table(at('largest'), ['made by', '', 'bytes', 'share', 'lives', 'line'], there.slice(0, 10).map(b =>
    [b.op, path_cell(b.path), bytes(b.bytes), (100 * b.bytes / live[peak]).toFixed(1) + ' %',
      b.first + ' to ' + b.last, line_link(b.line) || '']));
  paint();
}
function paint() {
  if (!pool) return;
  const c = at('boxes'), scale = window.devicePixelRatio || 1, g = c.getContext('2d');
  const w = c.clientWidth, h = c.clientHeight, curve = 70, left = 2;
  c.width = w * scale; c.height = h * scale;
  g.scale(scale, scale);
  const ink = getComputedStyle(document.body);
  const { program, buffers, live, peak } = pool, high = Math.max(program.pool, 1) * 1.04;
  const x = n => left + (w - left) * n / Math.max(program.nodes, 1);
  const y = b => (h - curve - 14) * (1 - b / high);
  pool.x = x; pool.y = y;
  for (const b of buffers) {
    const px = x(b.first), py = y(b.offset + b.bytes);
    g.fillStyle = colour_of(b);
    g.globalAlpha = !pool.chosen || pool.chosen === b ? .85 : .3;
    g.fillRect(px, py, Math.max(1, x(b.last + 1) - px), Math.max(.5, y(b.offset) - py));
  }
  g.globalAlpha = 1;
  g.font = '11px system-ui, sans-serif';
  const level = (bytes_, colour, text, dash, right) => {
    g.strokeStyle = g.fillStyle = colour;
    g.setLineDash(dash);
    g.beginPath(); g.moveTo(0, y(bytes_)); g.lineTo(w, y(bytes_)); g.stroke();
    g.setLineDash([]);
    g.textAlign = right ? 'right' : 'left';
    g.fillText(text, right ? w - 4 : 4, y(bytes_) + 12);
  };
  level(program.pool, ink.getPropertyValue('--blue'), 'pool ' + bytes(program.pool), [], true);
  level(program.bound, ink.getPropertyValue('--red'), 'lower bound ' + bytes(program.bound), [6, 4], false);
  g.strokeStyle = ink.getPropertyValue('--ink');
  g.beginPath(); g.moveTo(x(peak + .5), 0); g.lineTo(x(peak + .5), h); g.stroke();
  g.textAlign = x(peak) > w / 2 ? 'right' : 'left';
  g.fillStyle = ink.getPropertyValue('--ink');
  g.fillText(' peak ', x(peak + .5), h - curve - 2);
  g.fillStyle = ink.getPropertyValue('--soft');
  g.globalAlpha = .45;
  g.beginPath(); g.moveTo(x(0), h);
  for (let i = 0; i < program.nodes; i++) {
    const v = h - curve * live[i] / Math.max(live[peak], 1) * .95;
    g.lineTo(x(i), v); g.lineTo(x(i + 1), v);
  }
  g.lineTo(w, h); g.fill();
  g.globalAlpha = 1;
}
function find_box(e) {
  if (!pool || !pool.x) return;
  const r = at('boxes').getBoundingClientRect(), px = e.clientX - r.left, py = e.clientY - r.top;
  const hit = pool.buffers.find(b => pool.x(b.first) <= px && px <= Math.max(pool.x(b.last + 1), pool.x(b.first) + 2) &&
    pool.y(b.offset + b.bytes) <= py && py <= pool.y(b.offset));
  if (hit === pool.chosen) return;
  pool.chosen = hit || null;
  at('box').replaceChildren(...(hit ? [`${hit.op} ${hit.path}  ${bytes(hit.bytes)} at ${bytes(hit.offset)}, ` +
    `lives from ${hit.first} to ${hit.last} `, line_link(hit.line) || ''] : []));
  paint();
}

/* ---- passes ---- */

function diff_text(text) {
  const pre = el('pre');
  text.split('\n').forEach(line => pre.append(el('span', {
    class: line[0] === '+' ? 'add' : line[0] === '-' ? 'del' : line[0] === '@' || line[0] === '.' ? 'at' : '' }, line + '\n')));
  return pre;
}
function draw_passes(program) {
  const rows = facts.changes.filter(c => c.program === program.name);
  document.querySelector('#passes .of').textContent =
    `${program.name}: ${rows.filter(r => r.change !== null).length} of ${rows.length} changed it`;
  at('changes').replaceChildren(...rows.map(r => {
    if (r.change === null)
      return el('div', { class: 'note' }, r.pass + ': nothing to do');
    const d = el('details', null, el('summary', null, el('b', null, r.pass), '  ' + r.what));
    d.ontoggle = () => { if (d.open && d.children.length === 1) d.append(diff_text(r.change)); };
    return d;
  }));
}

/* ---- the whole ---- */

function show(program) {
  at('programs').querySelectorAll('button').forEach(b => b.classList.toggle('on', b.textContent === program.name));
  document.querySelectorAll('#figures tr').forEach(r => r.classList.toggle('on', r.firstChild.textContent === program.name));
  draw_graph(program);
  draw_pool(program);
  draw_passes(program);
}
function start() {
  draw_source();
  draw_overview();
  draw_parameters();
  draw_blocks();
  facts.programs.forEach(p => at('programs').append(el('button', { onclick: () => {
    history.replaceState(null, '', '#' + p.name); show(p); } }, p.name)));
  document.querySelectorAll('section').forEach(s => at('programs').append(
    el('a', { href: '#', onclick: e => { e.preventDefault(); s.scrollIntoView(); } },
      s.querySelector('h2').firstChild.textContent.trim())));
  /* #train or #train.pool: a program, and a part of the page to begin at */
  const [program, part] = location.hash.slice(1).split('.');
  const wanted = program || (facts.profile || {}).program || 'train';
  const first = facts.programs.find(p => p.name === wanted) || facts.programs[0];
  if (first) show(first);
  if (part && at(part)) at(part).scrollIntoView();
  window.addEventListener('resize', () => { draw_arcs(); paint(); });
  at('boxes').addEventListener('pointermove', find_box);
  at('boxes').addEventListener('pointerdown', find_box);
  document.body.dataset.ready = 'yes';
}
start();

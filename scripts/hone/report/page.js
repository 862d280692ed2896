"use strict";
// The first half computes and knows no page; the second draws.
const report = (() => {
  const ROW = { definition: 0, uuid: 1, axes: 2, hardware: 3, work: 4, results: 5 };

  // fast_p: the share of workloads with a ratio of at least p, from points [ratio, share] in ascending order.
  function shareAt(points, p) {
    let low = 0, high = points.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (points[middle][0] >= p) high = middle; else low = middle + 1;
    }
    return low < points.length ? points[low][1] : 0;
  }

  function quantity(value, unit) {
    const steps = [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
    for (const [size, prefix] of steps) if (value >= size) return trim(value / size) + " " + prefix + unit;
    return trim(value) + " " + unit;
  }
  function trim(value) { return value === 0 ? "0" : String(Number(value.toPrecision(3))); }
  function latency(ms) {
    if (ms >= 1000) return trim(ms / 1000) + " s";
    return ms >= 1 ? trim(ms) + " ms" : trim(ms * 1000) + " µs";
  }

  // Powers of ten in [low, high]; 2 and 5 times those where there is room.
  function logTicks(low, high) {
    const wide = Math.log10(high / low) > 2.5, ticks = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
      for (const m of wide ? [1] : [1, 2, 5]) {
        const tick = m * 10 ** e;
        if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
      }
    return ticks;
  }
  function linearTicks(high, count) {
    const rough = high / count, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map(m => m * power).find(s => s >= rough);
    const ticks = [];
    for (let i = 0; i * step <= high * 1.0001; i++) ticks.push(Number((i * step).toPrecision(6)));
    return ticks;
  }

  // One workload on one device, with what the table shows of it.
  function summarise(data, row, isShown) {
    const base = { latency: Infinity, solution: null }, best = { latency: Infinity, solution: null };
    let failed = 0;
    for (const [solution, ms, status] of row[ROW.results]) {
      const author = data.solutions[solution][1];
      if (!isShown(author)) continue;
      if (ms === null) { failed++; continue; }
      const side = data.authors[author] === data.baseline ? base : best;
      if (ms < side.latency) { side.latency = ms; side.solution = solution; }
    }
    const both = base.solution !== null && best.solution !== null;
    return { row, base, best, failed, ratio: both ? base.latency / best.latency : null };
  }

  function matches(data, item, query) {
    const [name, opType] = data.definitions[item.row[ROW.definition]];
    if (query.op && opType !== query.op) return false;
    if (query.device !== null && query.device !== undefined && item.row[ROW.hardware] !== query.device) return false;
    if (query.which === "failed" && item.failed === 0) return false;
    if (query.which === "slower" && !(item.ratio !== null && item.ratio * (1 + data.band) < 1)) return false;
    if (query.which === "faster" && !(item.ratio !== null && item.ratio > 1 + data.band)) return false;
    if (!query.text) return true;
    const solutions = item.row[ROW.results].map(r => data.solutions[r[0]][0]).join(" ");
    const all = [name, item.row[ROW.axes], item.row[ROW.uuid], solutions].join(" ").toLowerCase();
    return query.text.toLowerCase().split(/\s+/).every(word => all.includes(word));
  }

  const KEYS = {
    definition: (data, item) => data.definitions[item.row[ROW.definition]][0],
    base: (data, item) => item.base.latency,
    best: (data, item) => item.best.latency,
    ratio: (data, item) => item.ratio === null ? -1 : item.ratio,
    failed: (data, item) => item.failed,
  };
  // Rows that are equal stay in the dataset's order.
  function sorted(data, items, key, descending) {
    const keyed = items.map((item, i) => [KEYS[key](data, item), i, item]);
    const sign = descending ? -1 : 1;
    keyed.sort((a, b) => (a[0] < b[0] ? -sign : a[0] > b[0] ? sign : a[1] - b[1]));
    return keyed.map(entry => entry[2]);
  }

  function rooflinePoints(data, device, op, isShown) {
    const points = [];
    for (const row of data.rows) {
      if (row[ROW.work] === null || row[ROW.hardware] !== device) continue;
      if (op && data.definitions[row[ROW.definition]][1] !== op) continue;
      const [bytes, flops, dtype, exact] = row[ROW.work];
      for (const [solution, ms] of row[ROW.results]) {
        const author = data.solutions[solution][1];
        if (ms !== null && ms > 0 && isShown(author))
          points.push({ x: flops / bytes, y: flops / ms * 1e3, rate: bytes / ms * 1e3, dtype, exact, author, solution, row, ms });
      }
    }
    return points;
  }

  return { ROW, shareAt, quantity, latency, trim, logTicks, linearTicks, summarise, matches, sorted, rooflinePoints };
})();

if (typeof document !== "undefined") (() => {
  const { ROW, shareAt, quantity, latency, trim } = report;
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = id => document.getElementById(id);
  const hidden = new Set();
  const isShown = author => !hidden.has(author);
  const color = author => `var(--s${author === 0 ? 0 : (author - 1) % 7 + 1})`;

  function el(tag, attributes, ...children) {
    const svg = ["svg", "path", "line", "rect", "text", "g", "circle", "title"].includes(tag);
    const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (name === "style") node.style.cssText = value;
      else if (value !== null && value !== undefined) node.setAttribute(name, value);
    }
    for (const child of children.flat()) if (child !== null && child !== undefined) node.append(child);
    return node;
  }
  const svg = (width, height, ...children) =>
    el("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "xMidYMid meet" }, ...children);

  // A shape for each author, so that colour is not all that tells them apart.
  const SHAPES = [
    r => `M0 ${-r * 1.3}V${r * 1.3}`,
    r => `M${-r} 0A${r} ${r} 0 1 0 ${r} 0A${r} ${r} 0 1 0 ${-r} 0Z`,
    r => `M${-r * .9} ${-r * .9}H${r * .9}V${r * .9}H${-r * .9}Z`,
    r => `M0 ${-r * 1.2}L${r * 1.1} ${r * .8}H${-r * 1.1}Z`,
    r => `M0 ${-r * 1.25}L${r * 1.25} 0L0 ${r * 1.25}L${-r * 1.25} 0Z`,
    r => `M0 ${r * 1.2}L${r * 1.1} ${-r * .8}H${-r * 1.1}Z`,
    r => `M${-r} ${-r}L${r} ${r}M${r} ${-r}L${-r} ${r}`,
    r => `M${-r * 1.2} 0H${r * 1.2}M0 ${-r * 1.2}V${r * 1.2}`,
  ];
  const shape = author => author === 0 ? 0 : (author - 1) % 7 + 1;
  const isLine = author => [0, 6, 7].includes(shape(author));
  function mark(author, x, y, r) {
    const line = isLine(author);
    return el("path", {
      d: SHAPES[shape(author)](r), transform: `translate(${x} ${y})`,
      style: line ? `fill:none;stroke:${color(author)};stroke-width:2.2` : `fill:${color(author)}`,
    });
  }
  const swatch = author => {
    const icon = svg(14, 14, mark(author, 7, 7, 4.6));
    icon.setAttribute("style", "width:14px;height:14px;flex:none");
    icon.setAttribute("aria-hidden", "true");
    return icon;
  };

  // ---- tips ----
  function tip(event, text) {
    const box = $("tip");
    box.textContent = text;
    box.hidden = false;
    const width = box.offsetWidth, height = box.offsetHeight;
    box.style.left = Math.max(6, Math.min(event.clientX + 14, innerWidth - width - 10)) + "px";
    box.style.top = (event.clientY + height + 24 > innerHeight ? event.clientY - height - 12 : event.clientY + 16) + "px";
  }
  const noTip = () => { $("tip").hidden = true; };

  // ---- top ----
  function drawTop() {
    const f = data.filters, parts = [];
    parts.push(data.hardware.length ? data.hardware.join(", ") : "no device");
    parts.push(`baseline: ${data.baseline}`);
    if (f.op_type) parts.push(`op type ${f.op_type}`);
    if (f.definitions) parts.push(`definitions ${f.definitions.join(", ")}`);
    if (f.authors) parts.push(`authors ${f.authors.join(", ")}`);
    $("scope").textContent = parts.join(" · ");
    const c = data.counts, share = c.traces ? (100 * c.passed / c.traces).toFixed(1) + " %" : "–";
    const cards = [["Traces", c.traces], ["Passed", share], ["Definitions", c.definitions], ["Workloads", c.workloads],
      ["Solutions", c.solutions], ["Authors", data.authors.length]];
    $("cards").replaceChildren(...cards.map(([name, value]) =>
      el("div", {}, el("dt", {}, name), el("dd", {}, typeof value === "number" ? value.toLocaleString("en") : value))));
    $("authors").replaceChildren(...data.authors.map((name, author) => el("button", {
      class: "chip", type: "button", "aria-pressed": String(isShown(author)),
      onclick: () => { if (hidden.has(author)) hidden.delete(author); else hidden.add(author); drawAll(); },
    }, swatch(author), name)));
  }

  // ---- leaderboard ----
  function stack(curve) {
    if (!curve) return el("span", { class: "stack-text" }, "no common workload");
    const parts = [["win", curve.wins, "won"], ["tie", curve.ties, "tied"], ["loss", curve.losses, "lost"], ["fail", curve.failed, "failed"]];
    const text = parts.map(p => `${p[1].toLocaleString("en")} ${p[2]}`).join(" · ");
    return el("div", { title: text },
      el("div", { class: "stack", role: "img", "aria-label": text }, parts.map(p => el("i", { class: p[0], style: `flex:${p[1]} 0 0` }))),
      el("span", { class: "stack-text" }, text));
  }
  function drawBoard() {
    const rows = data.rankings.filter(r => isShown(data.authors.indexOf(r.author)));
    if (!rows.length) {
      $("board").replaceChildren(el("p", { class: "empty" }, data.rankings.length ? "All authors are hidden." : "No author can be ranked: there is no single baseline to compare with."));
    } else {
      const most = Math.max(1.2, ...rows.map(r => r.avg_speedup)) * 1.05;
      const head = ["", "Author", "Mean speed-up", "Workloads against the baseline", "Success", "Definitions"];
      $("board").replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, head.map((h, i) => el("th", { scope: "col", class: i > 3 ? "num" : null }, h)))),
        el("tbody", {}, rows.map((r, i) => {
          const author = data.authors.indexOf(r.author);
          return el("tr", {}, el("td", { class: "num muted" }, String(i + 1)),
            el("td", {}, el("span", { class: "who" }, swatch(author), r.author)),
            el("td", {}, el("div", { class: "speed" }, el("b", {}, r.avg_speedup.toFixed(2) + "×"),
              el("div", { class: "track" }, el("i", { style: `width:${100 * r.avg_speedup / most}%;background:${color(author)}` }), el("s", { style: `left:${100 / most}%` })))),
            el("td", {}, stack(data.curves.find(c => c.author === r.author))),
            el("td", { class: "num" }, (100 * r.success_rate).toFixed(1) + " %"),
            el("td", { class: "num" }, String(r.definitions)));
        }))));
    }
    $("notes").replaceChildren(...(data.notes.length ? [el("details", {}, el("summary", {}, `${data.notes.length} definitions are not ranked`),
      el("ul", {}, data.notes.slice(0, 200).map(n => el("li", {}, n))))] : []));
  }

  // ---- wins at p ----
  function drawCurve() {
    const curves = data.curves.filter(c => isShown(data.authors.indexOf(c.author)));
    if (!curves.length) return $("curve").replaceChildren(el("p", { class: "empty" }, "No author has a workload in common with the baseline."));
    const W = 1080, H = 380, left = 54, right = 18, top = 26, bottom = 44;
    const tails = curves.map(c => { const at = c.points.find(p => p[1] <= 0.01); return at ? at[0] : c.points.length ? c.points[c.points.length - 1][0] : 1; });
    const most = Math.max(1.5, Math.min(Math.max(...tails) * 1.08, 50));
    const x = p => left + (W - left - right) * p / most, y = s => H - bottom - (H - top - bottom) * s;
    const low = 1 / (1 + data.band), high = 1 + data.band;
    const node = svg(W, H,
      el("rect", { x: x(low), width: x(high) - x(low), y: top, height: H - top - bottom, style: "fill:var(--band)" }),
      report.linearTicks(most, 9).map(p => el("g", {}, el("line", { class: "grid", x1: x(p), x2: x(p), y1: top, y2: H - bottom }),
        el("text", { x: x(p), y: H - bottom + 18, "text-anchor": "middle" }, trim(p) + "×"))),
      [0, .25, .5, .75, 1].map(s => el("g", {}, el("line", { class: "grid", x1: left, x2: W - right, y1: y(s), y2: y(s) }),
        el("text", { x: left - 8, y: y(s) + 4, "text-anchor": "end" }, 100 * s + " %"))),
      el("line", { class: "axis", x1: x(1), x2: x(1), y1: top - 8, y2: H - bottom, "stroke-dasharray": "3 3" }),
      el("text", { x: x(1), y: top - 12, "text-anchor": "middle" }, `baseline, tied within ${trim(100 * data.band)} %`),
      el("text", { x: (left + W - right) / 2, y: H - 6, "text-anchor": "middle" }, "p: times as fast as the baseline"),
      curves.map(c => {
        const author = data.authors.indexOf(c.author);
        let path = `M${x(0)} ${y(c.points.length ? c.points[0][1] : 0)}`;
        for (const [p, s] of c.points) { if (p > most) break; path += `V${y(s).toFixed(1)}H${x(p).toFixed(1)}`; }
        path += `V${y(shareAt(c.points, most)).toFixed(1)}`;
        return el("path", { d: path, style: `fill:none;stroke:${color(author)};stroke-width:2;stroke-dasharray:${["", "", "7 3", "2 3", "9 3 2 3"][shape(author) % 5]}` });
      }));
    const cross = el("line", { class: "axis", y1: top, y2: H - bottom, visibility: "hidden" });
    node.append(cross);
    node.addEventListener("pointermove", event => {
      const box = node.getBoundingClientRect(), at = (event.clientX - box.left) / box.width * W;
      const p = (at - left) / (W - left - right) * most;
      if (p < 0 || p > most) { cross.setAttribute("visibility", "hidden"); return noTip(); }
      cross.setAttribute("x1", at); cross.setAttribute("x2", at); cross.setAttribute("visibility", "visible");
      const lines = curves.map(c => [shareAt(c.points, p), c.author]).sort((a, b) => b[0] - a[0]);
      tip(event, `at least ${trim(p)}×\n` + lines.map(([s, a]) => `${(100 * s).toFixed(1)} %  ${a}`).join("\n"));
    });
    node.addEventListener("pointerleave", () => { cross.setAttribute("visibility", "hidden"); noTip(); });
    $("curve").replaceChildren(node);
  }

  // ---- latency ----
  const state = { sort: "definition", descending: false, count: 40 };
  const query = () => ({ text: $("search").value.trim(), op: $("op").value, which: $("which").value, device: $("device").value === "" ? null : Number($("device").value) });
  function strip(item, low, high) {
    const W = 420, y = 13, x = ms => 10 + (W - 50) * Math.log(ms / low) / Math.log(high / low);
    const failed = [];
    const node = svg(W, 26, el("line", { class: "grid", x1: 10, x2: W - 40, y1: y, y2: y }));
    const results = item.row[ROW.results].slice().sort((a, b) => data.solutions[b[0]][1] - data.solutions[a[0]][1]);
    for (const [solution, ms, status] of results) {
      const [name, author] = data.solutions[solution];
      if (!isShown(author)) continue;
      if (ms === null) { failed.push(`${name}: ${data.statuses[status]}`); continue; }
      const point = mark(author, x(ms).toFixed(1), y, 4.6);
      point.addEventListener("pointermove", e => tip(e, `${name}\n${latency(ms)}` + (item.base.solution !== null ? ` · ${trim(item.base.latency / ms)}× the baseline` : "")));
      point.addEventListener("pointerleave", noTip);
      node.append(point);
    }
    if (failed.length) {
      const text = el("text", { x: W - 32, y: y + 4, style: "fill:var(--fail)" }, `✕ ${failed.length}`);
      text.addEventListener("pointermove", e => tip(e, failed.join("\n")));
      text.addEventListener("pointerleave", noTip);
      node.append(text);
    }
    node.setAttribute("preserveAspectRatio", "none");
    node.setAttribute("preserveAspectRatio", "xMinYMid meet");
    return node;
  }
  function scaleOf(low, high) {
    const W = 420, x = ms => 10 + (W - 50) * Math.log(ms / low) / Math.log(high / low);
    let ticks = report.logTicks(low, high);
    if (ticks.length > 7) ticks = ticks.filter(t => /^1/.test(String(t * 1e9)));
    const node = svg(W, 18, ticks.map(t => el("text", { x: x(t), y: 13, "text-anchor": "middle" }, latency(t))));
    node.setAttribute("preserveAspectRatio", "xMinYMid meet");
    return node;
  }
  function header(key, text, isNumber) {
    const sorted = state.sort === key;
    return el("th", { scope: "col", class: isNumber ? "num" : null, "aria-sort": sorted ? (state.descending ? "descending" : "ascending") : null },
      el("button", { type: "button", onclick: () => {
        state.descending = sorted ? !state.descending : key === "ratio" || key === "failed";
        state.sort = key; drawLatency();
      } }, text + (sorted ? (state.descending ? " ↓" : " ↑") : "")));
  }
  function drawLatency() {
    const q = query(), table = $("latencies");
    const items = data.rows.map(row => report.summarise(data, row, isShown)).filter(item => report.matches(data, item, q));
    const all = report.sorted(data, items, state.sort, state.descending), some = all.slice(0, state.count);
    let low = Infinity, high = 0;
    for (const item of some) for (const [solution, ms] of item.row[ROW.results])
      if (ms !== null && isShown(data.solutions[solution][1])) { low = Math.min(low, ms); high = Math.max(high, ms); }
    if (!(high > 0)) { low = 0.01; high = 1; }
    low /= 1.15; high *= 1.15;
    const several = data.hardware.length > 1 && q.device === null;
    table.tHead.replaceChildren(el("tr", {}, header("definition", "Definition and sizes"), several ? el("th", { scope: "col" }, "Device") : null,
      el("th", { scope: "col", class: "strip" }, scaleOf(low, high)), header("base", "Baseline", true), header("best", "Best other", true), header("ratio", "Best against baseline", true)));
    table.tBodies[0].replaceChildren(...some.map(item => {
      const [name] = data.definitions[item.row[ROW.definition]];
      const known = item.ratio !== null, word = !known ? "" : item.ratio > 1 + data.band ? "good" : item.ratio * (1 + data.band) < 1 ? "bad" : "";
      return el("tr", {}, el("td", { class: "name", title: item.row[ROW.uuid] }, name, el("span", { class: "axes" }, item.row[ROW.axes])),
        several ? el("td", { class: "muted device" }, data.hardware[item.row[ROW.hardware]]) : null,
        el("td", { class: "strip" }, strip(item, low, high)),
        el("td", { class: "num" }, item.base.solution === null ? "–" : latency(item.base.latency)),
        el("td", { class: "num" }, item.best.solution === null ? "–" : [latency(item.best.latency), el("span", { class: "axes" }, data.authors[data.solutions[item.best.solution][1]])]),
        el("td", { class: "num " + word }, known ? item.ratio.toFixed(2) + "×" : "–"));
    }));
    $("shown").textContent = all.length === 0 ? "No workload is like that." : `${some.length.toLocaleString("en")} of ${all.length.toLocaleString("en")} workloads and devices. Marks lie on a scale of powers of ten; ✕ counts solutions that failed.`;
    $("more").hidden = some.length === all.length;
  }

  // ---- roofline ----
  let hits = [];
  function drawRoof() {
    const device = Number($("roof-device").value || 0), canvas = $("roof"), style = getComputedStyle(document.documentElement);
    const get = name => style.getPropertyValue(name).trim(), ratio = window.devicePixelRatio || 1;
    const W = canvas.clientWidth || 900, H = canvas.clientHeight || 460;
    canvas.width = W * ratio; canvas.height = H * ratio;
    const g = canvas.getContext("2d");
    if (!g) return;
    g.scale(ratio, ratio);
    g.font = "12px system-ui, sans-serif";
    const points = report.rooflinePoints(data, device, $("roof-op").value, isShown), ceiling = data.ceilings[device];
    hits = [];
    const families = new Set(points.map(p => p.dtype.startsWith("float8") ? "float8" : p.dtype.startsWith("float4") ? "float4" : p.dtype === "float32" ? "float32" : "bfloat16"));
    let note = "";
    if (!points.length) note = "Nothing to show: no trace here has an op type whose work is known.";
    else if (ceiling) note = "Lines are what the vendor publishes for this device: memory, and dense products of the types that occur here.";
    else note = "No figures are published here for this device: the dashed lines are the highest rates among these traces.";
    $("roof-note").textContent = note;
    if (!points.length) return;
    const bytes = ceiling ? ceiling.bytes : points.reduce((m, p) => Math.max(m, p.rate), 0);
    const tops = ceiling ? Object.entries(ceiling.flops).filter(([name]) => families.has(name)) : [["highest", points.reduce((m, p) => Math.max(m, p.y), 0)]];
    let x0 = Infinity, x1 = 0, y0 = Infinity, y1 = 0;
    for (const p of points) { x0 = Math.min(x0, p.x); x1 = Math.max(x1, p.x); y0 = Math.min(y0, p.y); y1 = Math.max(y1, p.y); }
    for (const [, flops] of tops) { y1 = Math.max(y1, flops); x1 = Math.max(x1, flops / bytes); }
    x0 /= 1.6; x1 *= 2; y0 /= 2; y1 *= 2;
    const left = 96, right = 16, top = 14, bottom = 42;
    const x = v => left + (W - left - right) * Math.log(v / x0) / Math.log(x1 / x0), y = v => H - bottom - (H - top - bottom) * Math.log(v / y0) / Math.log(y1 / y0);
    g.strokeStyle = get("--line"); g.fillStyle = get("--muted"); g.lineWidth = 1;
    g.textAlign = "center";
    for (const t of report.logTicks(x0, x1)) { g.beginPath(); g.moveTo(x(t), top); g.lineTo(x(t), H - bottom); g.stroke(); g.fillText(trim(t), x(t), H - bottom + 17); }
    g.textAlign = "right";
    for (const t of report.logTicks(y0, y1)) { g.beginPath(); g.moveTo(left, y(t)); g.lineTo(W - right, y(t)); g.stroke(); g.fillText(quantity(t, "FLOP/s"), left - 7, y(t) + 4); }
    g.textAlign = "center"; g.fillText("operations a byte", (left + W - right) / 2, H - 8);
    g.save(); g.beginPath(); g.rect(left, top, W - left - right, H - top - bottom); g.clip();
    g.strokeStyle = get("--ink"); g.fillStyle = get("--ink"); g.lineWidth = 1.4; g.setLineDash(ceiling ? [] : [6, 4]);
    const highest = Math.max(...tops.map(t => t[1])), panel = get("--panel"), ink = get("--ink");
    // Names of lines come last, with a rim that keeps marks off them.
    const name = (text, px, py, align) => {
      g.textAlign = align; g.lineWidth = 4; g.lineJoin = "round"; g.strokeStyle = panel; g.fillStyle = ink;
      g.strokeText(text, px, py); g.fillText(text, px, py);
    };
    g.beginPath(); g.moveTo(x(x0), y(x0 * bytes)); g.lineTo(x(highest / bytes), y(highest)); g.stroke();
    for (const [, flops] of tops) { g.beginPath(); g.moveTo(x(flops / bytes), y(flops)); g.lineTo(W, y(flops)); g.stroke(); }
    g.setLineDash([]);
    g.globalAlpha = points.length > 2000 ? .45 : .85;
    const colors = data.authors.map((_, author) => get(color(author).slice(4, -1)));
    for (const p of points) {
      const px = x(p.x), py = y(p.y);
      hits.push([px, py, p]);
      const path = new Path2D(SHAPES[shape(p.author)](points.length > 2000 ? 2.8 : 4.2));
      g.save(); g.translate(px, py); g.fillStyle = g.strokeStyle = colors[p.author]; g.lineWidth = 1.5;
      if (p.exact && !isLine(p.author)) g.fill(path); else g.stroke(path);
      g.restore();
    }
    g.globalAlpha = 1;
    for (const [type, flops] of tops) name(`${type} ${quantity(flops, "FLOP/s")}`, W - right - 6, y(flops) - 7, "right");
    const steep = Math.atan2(y(x0 * 10 * bytes) - y(x0 * bytes), x(x0 * 10) - x(x0));
    const at = Math.sqrt(x0 * Math.min(highest / bytes, x1));
    g.translate(x(at), y(at * bytes)); g.rotate(steep);
    name(quantity(bytes, "B/s"), 0, -7, "center");
    g.restore();
  }
  $("roof").addEventListener("pointermove", event => {
    const box = $("roof").getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
    let near = null, least = 144;
    for (const [x, y, p] of hits) { const d = (x - px) ** 2 + (y - py) ** 2; if (d < least) { least = d; near = p; } }
    if (!near) return noTip();
    const [name] = data.definitions[near.row[ROW.definition]];
    tip(event, `${name}\n${near.row[ROW.axes]}\n${data.solutions[near.solution][0]}: ${latency(near.ms)}\n${quantity(near.y, "FLOP/s")} · ${quantity(near.rate, "B/s")}` + (near.exact ? "" : "\nstructure taken as even"));
  });
  $("roof").addEventListener("pointerleave", noTip);

  // ---- all ----
  function fill(select, entries) { select.replaceChildren(...entries.map(([value, text]) => el("option", { value }, text))); }
  const ops = [...new Set(data.definitions.map(d => d[1]))].sort();
  for (const id of ["op", "roof-op"]) fill($(id), [["", "all"], ...ops.map(o => [o, o])]);
  fill($("device"), [["", "all"], ...data.hardware.map((h, i) => [i, h])]);
  fill($("roof-device"), data.hardware.map((h, i) => [i, h]));
  const restart = () => { state.count = 40; drawLatency(); };
  let waiting;
  $("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(restart, 120); });
  for (const id of ["op", "device", "which"]) $(id).addEventListener("change", restart);
  for (const id of ["roof-device", "roof-op"]) $(id).addEventListener("change", drawRoof);
  $("more").addEventListener("click", () => { state.count += 120; drawLatency(); });
  $("theme").addEventListener("click", () => {
    const root = document.documentElement, now = root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
    drawRoof();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawRoof);
  addEventListener("resize", drawRoof);
  function drawAll() { drawTop(); drawBoard(); drawCurve(); drawLatency(); drawRoof(); }
  drawAll();
})();

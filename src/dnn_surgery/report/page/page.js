"use strict";
// The page's whole state is in its address (#bandwidth=...&rtt=...), so that a view can be sent to somebody.

const data = JSON.parse(document.getElementById("data").textContent);
const rows = data.rows.map((row) => ({ ...row, edgeS: row.columns[0], bytes: row.columns[1], cloudS: row.columns[2], sends: row.columns[3] }));
const COLOURS = { local: [15, 139, 125], upload: [47, 111, 178], early: [230, 159, 0], late: [178, 67, 26] };
// Each slider is a logarithm over its range, but the round trip, which may be 0.
const RANGE = { bandwidth: [2e4, 1e9], slowdown: [0.1, 50], load: [0.5, 50] };

const state = { bandwidth: data.link.bandwidth_bps, rtt: data.link.rtt_s, slowdown: 1, load: 1, objective: "latency", private: false, exact: false };
const byId = (name) => document.getElementById(name);

const toSlider = (key, value) => (key === "rtt" ? value * 1000 : (1000 * Math.log(value / RANGE[key][0])) / Math.log(RANGE[key][1] / RANGE[key][0]));
const fromSlider = (key, place) => (key === "rtt" ? place / 1000 : RANGE[key][0] * (RANGE[key][1] / RANGE[key][0]) ** (place / 1000));

function digits(value) { return value === 0 ? "0" : String(Number(value.toPrecision(3))); }
function withUnit(value, units) {
  for (const [scale, unit] of units) if (value >= scale) return `${digits(value / scale)} ${unit}`;
  const [scale, unit] = units[units.length - 1];
  return `${digits(value / scale)} ${unit}`;
}
const time = (s) => withUnit(s, [[1, "s"], [1e-3, "ms"], [1e-6, "us"]]);
const size = (b) => withUnit(b, [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]]);
const rate = (bps) => withUnit(bps, [[1e9, "Gbit/s"], [1e6, "Mbit/s"], [1e3, "kbit/s"], [1, "bit/s"]]);

function stages(row, at) {
  const edge = row.edgeS * at.slowdown, link = (row.bytes * 8) / at.bandwidth, cloud = row.cloudS * at.load, rtt = row.sends * at.rtt;
  return { edge, link, rtt, cloud, latency: edge + link + rtt + cloud, bottleneck: Math.max(edge, link, cloud) };
}
const cost = (row, at) => { const s = stages(row, at); return at.objective === "latency" ? s.latency : s.bottleneck; };
// Ties as in the planner: the other objective, fewer bytes, fewer layers at the edge.
function rank(row, at) {
  const s = stages(row, at);
  return at.objective === "latency" ? [s.latency, s.bottleneck, row.bytes, row.depth] : [s.bottleneck, s.latency, row.bytes, row.depth];
}
function before(a, b) {
  for (let i = 0; i < a.length; i++) if (Math.abs(a[i] - b[i]) > 1e-9 * Math.max(a[i], b[i])) return a[i] < b[i];
  return false;
}
const allowed = () => rows.filter((row) => !(state.private && row.kind === "upload") && !(state.exact && !row.exact));
function best(list, at) {
  let found = null, order = null;
  for (const row of list) { const own = rank(row, at); if (!found || before(own, order)) { found = row; order = own; } }
  return found;
}
function bits(row) {
  const inside = [];
  for (let i = 0; i < data.layers.length; i++) inside.push(Boolean(parseInt(row.edge[i >> 2], 16) & (8 >> i % 4)));
  return inside;
}
for (const row of rows) row.depth = bits(row).filter(Boolean).length;

function showAnswer(list, winner) {
  const s = stages(winner, state);
  const value = cost(winner, state), parts = [];
  for (const [kind, what] of [["local", "staying local"], ["upload", "uploading the input"], ["split", "the best split"]]) {
    const other = winner.kind === kind ? null : best(list.filter((row) => row.kind === kind), state);
    if (!other) continue;
    const times = cost(other, state) / value;
    if (state.objective === "throughput") parts.push(`${digits(times)} times the throughput of ${what}`);
    else parts.push(`${digits(100 * (1 - 1 / times))} % less latency than ${what}`);
  }
  const title = winner.title[0].toUpperCase() + winner.title.slice(1);
  byId("verdict").textContent = parts.length ? `${title}: ${parts.join(", ")}` : title;
  const sent = winner.sent.map(([tensor, bytes, codec]) => `${tensor} as ${codec}, ${size(bytes)}`).join("; ") || "nothing is sent";
  byId("figures").textContent = `latency ${time(s.latency)}, up to ${digits(1 / s.bottleneck)} frames/s; ${sent}`;
  const inside = bits(winner), senders = new Set(winner.sent.map(([tensor]) => tensor));
  byId("strip").replaceChildren(...data.layers.map((layer, i) => {
    const box = document.createElement("div");
    box.className = senders.has(layer.name) ? "sends" : inside[i] ? "edge" : "cloud";
    box.title = `${layer.name}: edge ${time(layer.edge_s * state.slowdown)}, cloud ${time(layer.cloud_s * state.load)}, makes ${size(layer.bytes)}`;
    return box;
  }));
}

function showBars(list, winner) {
  const shown = [winner];
  for (const kind of ["split", "upload", "local"]) {
    const row = best(list.filter((one) => one.kind === kind), state);
    if (row && !shown.includes(row)) shown.push(row);
  }
  const longest = Math.max(...shown.map((row) => stages(row, state).latency));
  byId("bars").replaceChildren(...shown.map((row) => {
    const s = stages(row, state), line = document.createElement("div");
    line.className = row === winner ? "bar best" : "bar";
    const name = document.createElement("span"), track = document.createElement("span"), figure = document.createElement("span");
    name.className = "name"; name.textContent = row.title; name.title = row.title;
    track.className = "track";
    for (const [seconds, colour, what] of [[s.edge, "var(--edge)", "edge"], [s.link, "var(--link)", "transfer"], [s.rtt, "#8a8f98", "round trip"], [s.cloud, "var(--cloud)", "cloud"]]) {
      const part = document.createElement("i");
      part.style.width = `${(100 * seconds) / longest}%`; part.style.background = colour; part.title = `${what} ${time(seconds)}`;
      track.append(part);
    }
    figure.className = "cost"; figure.textContent = `${time(s.latency)}, ${digits(1 / s.bottleneck)}/s`;
    line.append(name, track, figure);
    return line;
  }));
}

const SVG = "http://www.w3.org/2000/svg";
function svg(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
const PLOT = { left: 58, right: 550, top: 10, bottom: 268 };
const rates = Array.from({ length: 121 }, (_, i) => 5e4 * (1e8 / 5e4) ** (i / 120));
const plotX = (bps) => PLOT.left + ((PLOT.right - PLOT.left) * Math.log(bps / rates[0])) / Math.log(rates[120] / rates[0]);

function showCurve(list) {
  const lines = [["local", "var(--edge)", 1.5], ["upload", "var(--cloud)", 1.5], ["split", "var(--late)", 1.5], [null, "var(--link)", 4]].map(([kind, colour, width]) => {
    const some = kind ? list.filter((row) => row.kind === kind) : list;
    return { colour, width, values: some.length ? rates.map((bandwidth) => Math.min(...some.map((row) => cost(row, { ...state, bandwidth })))) : null };
  }).filter((line) => line.values);
  const envelope = lines[lines.length - 1].values;
  const low = Math.min(...envelope) * 0.8, high = Math.max(...envelope) * 6;
  const plotY = (s) => PLOT.bottom - ((PLOT.bottom - PLOT.top) * Math.log(s / low)) / Math.log(high / low);
  // What is above the top is not drawn: along the edge it would look like a cost.
  const clip = svg("clipPath", { id: "plot" });
  clip.append(svg("rect", { x: PLOT.left, y: PLOT.top, width: PLOT.right - PLOT.left, height: PLOT.bottom - PLOT.top }));
  const parts = [clip];
  for (let power = Math.ceil(Math.log10(low)); 10 ** power < high; power++) {
    const y = plotY(10 ** power);
    parts.push(svg("line", { x1: PLOT.left, x2: PLOT.right, y1: y, y2: y, stroke: "var(--line)" }), svg("text", { x: PLOT.left - 6, y: y + 4, "text-anchor": "end" }, time(10 ** power)));
  }
  for (const bps of [1e5, 1e6, 1e7, 1e8]) parts.push(svg("text", { x: plotX(bps), y: 286, "text-anchor": bps < 1e8 ? "middle" : "end" }, rate(bps)));
  // The envelope lies under the kinds, so that one sees which of them it is.
  for (const line of [lines[lines.length - 1], ...lines.slice(0, -1)]) {
    const points = line.values.map((value, i) => `${plotX(rates[i]).toFixed(1)},${plotY(value).toFixed(1)}`).join(" ");
    parts.push(svg("polyline", { points, fill: "none", stroke: line.colour, "stroke-width": line.width, "clip-path": "url(#plot)", opacity: line.width > 2 ? 0.55 : 1 }));
  }
  const here = Math.min(Math.max(plotX(state.bandwidth), PLOT.left), PLOT.right);
  parts.push(svg("line", { x1: here, x2: here, y1: PLOT.top, y2: PLOT.bottom, stroke: "var(--ink)", "stroke-dasharray": "4 3" }));
  byId("curve-title").textContent = state.objective === "latency" ? "Latency by bandwidth" : "Slowest stage by bandwidth";
  byId("curve").replaceChildren(...parts);
}

// The map is coarse and painted in blocks: a few thousand points are enough for the eye and quick on a telephone.
const MAP = { left: 58, right: 10, columns: 80, rows: 40, slow: [0.25, 32], fast: [5e4, 1e8] };
const mapAt = (column, row) => ({
  ...state,
  bandwidth: MAP.fast[0] * (MAP.fast[1] / MAP.fast[0]) ** (column / (MAP.columns - 1)),
  slowdown: MAP.slow[0] * (MAP.slow[1] / MAP.slow[0]) ** (1 - row / (MAP.rows - 1)),
});
function paint(row, margin) {
  const part = row.depth / data.layers.length;
  const full = row.kind === "split" ? COLOURS.early.map((c, i) => c + (COLOURS.late[i] - c) * part) : COLOURS[row.kind];
  const strength = 0.32 + 0.68 * Math.min(1, Math.log(margin) / Math.log(2));
  return `rgb(${full.map((c) => Math.round(255 - (255 - c) * strength)).join(",")})`;
}
function showMap(list) {
  const canvas = byId("map"), pen = canvas.getContext("2d");
  const kinds = ["local", "upload", "split"].map((kind) => list.filter((row) => row.kind === kind)).filter((some) => some.length);
  const plot = { width: canvas.width - MAP.left - MAP.right, height: canvas.height - 32 };
  pen.clearRect(0, 0, canvas.width, canvas.height);
  for (let y = 0; y < MAP.rows; y++) for (let x = 0; x < MAP.columns; x++) {
    const at = mapAt(x, y);
    const leaders = kinds.map((some) => some.reduce((a, b) => (cost(b, at) < cost(a, at) ? b : a))).sort((a, b) => cost(a, at) - cost(b, at));
    const margin = leaders.length > 1 ? cost(leaders[1], at) / cost(leaders[0], at) : 10;
    pen.fillStyle = paint(leaders[0], margin);
    pen.fillRect(MAP.left + (x * plot.width) / MAP.columns, (y * plot.height) / MAP.rows, plot.width / MAP.columns + 1, plot.height / MAP.rows + 1);
  }
  pen.fillStyle = getComputedStyle(document.body).color; pen.font = "10px system-ui, sans-serif";
  for (const bps of [1e5, 1e6, 1e7, 1e8]) {
    pen.textAlign = bps < 1e8 ? "center" : "right";
    pen.fillText(rate(bps), MAP.left + (plot.width * Math.log(bps / MAP.fast[0])) / Math.log(MAP.fast[1] / MAP.fast[0]), canvas.height - 14);
  }
  pen.textAlign = "left";
  for (const slow of [1, 4, 16]) pen.fillText(`edge ${slow}x`, 2, plot.height * (1 - Math.log(slow / MAP.slow[0]) / Math.log(MAP.slow[1] / MAP.slow[0])) + 4);
  const x = MAP.left + (plot.width * Math.log(state.bandwidth / MAP.fast[0])) / Math.log(MAP.fast[1] / MAP.fast[0]);
  const y = plot.height * (1 - Math.log(state.slowdown / MAP.slow[0]) / Math.log(MAP.slow[1] / MAP.slow[0]));
  pen.beginPath(); pen.arc(x, y, 6, 0, 7); pen.lineWidth = 3; pen.strokeStyle = "#fff"; pen.stroke();
  pen.lineWidth = 1.5; pen.strokeStyle = "#000"; pen.stroke();
}

function show() {
  for (const key of ["bandwidth", "rtt", "slowdown", "load"]) byId(key).value = toSlider(key, state[key]);
  byId("bandwidth-text").textContent = rate(state.bandwidth);
  byId("rtt-text").textContent = time(state.rtt);
  byId("slowdown-text").textContent = `${digits(state.slowdown)} times`;
  byId("load-text").textContent = `${digits(state.load)} times`;
  for (const radio of document.getElementsByName("objective")) radio.checked = radio.value === state.objective;
  byId("private").checked = state.private; byId("exact").checked = state.exact;
  const list = allowed(), winner = best(list, state);
  if (!winner) { byId("verdict").textContent = "Nothing is allowed: take a restriction back."; return; }
  showAnswer(list, winner); showBars(list, winner); showCurve(list); showMap(list);
}

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const key of ["bandwidth", "rtt", "slowdown", "load"]) {
    const value = Number(given.get(key));
    if (given.has(key) && Number.isFinite(value) && (value > 0 || key === "rtt") && value >= 0) state[key] = value;
  }
  if (["latency", "throughput"].includes(given.get("objective"))) state.objective = given.get("objective");
  for (const key of ["private", "exact"]) if (given.has(key)) state[key] = given.get(key) === "1";
}
function changed() {
  const text = new URLSearchParams({ bandwidth: Number(state.bandwidth.toPrecision(4)), rtt: state.rtt, slowdown: Number(state.slowdown.toPrecision(4)),
    load: Number(state.load.toPrecision(4)), objective: state.objective, private: Number(state.private), exact: Number(state.exact) });
  history.replaceState(null, "", `#${text}`);
  show();
}
for (const key of ["bandwidth", "rtt", "slowdown", "load"]) byId(key).addEventListener("input", (event) => { state[key] = fromSlider(key, Number(event.target.value)); changed(); });
for (const radio of document.getElementsByName("objective")) radio.addEventListener("change", () => { state.objective = radio.value; changed(); });
for (const key of ["private", "exact"]) byId(key).addEventListener("change", (event) => { state[key] = event.target.checked; changed(); });
byId("map").addEventListener("click", (event) => {
  const box = event.target.getBoundingClientRect(), canvas = byId("map");
  const x = ((event.clientX - box.left) * canvas.width) / box.width - MAP.left, y = ((event.clientY - box.top) * canvas.height) / box.height;
  const share = Math.min(Math.max(x / (canvas.width - MAP.left - MAP.right), 0), 1), high = Math.min(Math.max(1 - y / (canvas.height - 32), 0), 1);
  state.bandwidth = MAP.fast[0] * (MAP.fast[1] / MAP.fast[0]) ** share;
  state.slowdown = MAP.slow[0] * (MAP.slow[1] / MAP.slow[0]) ** high;
  changed();
});
window.addEventListener("hashchange", () => { readAddress(); show(); });
readAddress();
show();

// Plots the stored signal: one plot a row of sensors, left and right wheel, zoom by dragging.
const host = document.getElementById("waves");
const reset = document.getElementById("wave-reset");
const HEIGHT = 150, LEFT = 58, BOTTOM = 22, TOP = 8, RIGHT = 8;
let shown = null;

const colour = (name) => getComputedStyle(host).getPropertyValue(name).trim();

async function load(begin, end) {
  const query = new URLSearchParams({ buckets: Math.min(1600, Math.max(200, Math.round(host.clientWidth))) });
  if (begin !== undefined) { query.set("begin", begin); query.set("end", end); }
  const answer = await fetch(`${host.dataset.source}?${query}`);
  if (!answer.ok) { host.textContent = host.dataset.failed; return; }
  shown = await answer.json();
  reset.hidden = shown.window[0] === shown.clip[0] && shown.window[1] === shown.clip[1];
  draw();
}

function rows() {
  const found = new Map();
  for (const trace of shown.traces) found.set(trace.row, [...(found.get(trace.row) ?? []), trace]);
  return found;
}

function draw() {
  const found = rows();
  if (host.childElementCount !== found.size) build(found);
  let place = host.firstElementChild;
  for (const traces of found.values()) {
    plot(place.querySelector("canvas"), traces);
    place = place.nextElementSibling;
  }
}

function build(found) {
  host.replaceChildren(...[...found].map(([number, traces]) => {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    const position = traces[0].position_m;
    caption.textContent = host.dataset.row.replace("{n}", number).replace("{p}", position === null ? "?" : position.toFixed(2));
    const canvas = document.createElement("canvas");
    canvas.addEventListener("pointerdown", drag);
    canvas.addEventListener("dblclick", () => load());
    figure.append(caption, canvas);
    return figure;
  }));
}

function nice(span, steps) {
  const raw = span / steps, power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((m) => m * power).find((step) => step >= raw);
}

function plot(canvas, traces) {
  const width = canvas.clientWidth, scale = devicePixelRatio || 1;
  canvas.width = width * scale; canvas.height = HEIGHT * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.font = "11px system-ui, sans-serif";
  const low = Math.min(...traces.flatMap((t) => t.min)), high = Math.max(...traces.flatMap((t) => t.max));
  const pad = Math.max(1, (high - low) * 0.06);
  const [begin, end] = shown.window;
  const x = (sample) => LEFT + (sample - begin) / Math.max(1, end - begin) * (width - LEFT - RIGHT);
  const y = (count) => TOP + (high + pad - count) / (high - low + 2 * pad) * (HEIGHT - TOP - BOTTOM);
  grid(pen, width, x, y, low, high);
  wheels(pen, x, width);
  // The right wheel is a thin line on the broad one of the left, so that equal loads show both.
  for (const trace of traces) {
    const left = trace.side === "left";
    band(pen, trace, x, y, colour(left ? "--left" : "--right"), left ? 3.5 : 1.2);
  }
}

function grid(pen, width, x, y, low, high) {
  pen.fillStyle = colour("--quiet"); pen.strokeStyle = colour("--line"); pen.lineWidth = 1;
  const first = shown.clip[0], rate = shown.rate_hz;
  const from = (shown.window[0] - first) / rate, to = (shown.window[1] - first) / rate;
  const seconds = nice(Math.max(to - from, 1e-6), width < 500 ? 3 : 8);
  pen.textAlign = "center";
  for (let s = Math.ceil(from / seconds) * seconds; s <= to; s += seconds) {
    const at = Math.round(x(first + s * rate)) + 0.5;
    pen.beginPath(); pen.moveTo(at, TOP); pen.lineTo(at, HEIGHT - BOTTOM); pen.stroke();
    pen.fillText(`${s.toFixed(Math.max(0, -Math.floor(Math.log10(seconds))))} s`, at, HEIGHT - 7);
  }
  const counts = nice(Math.max(high - low, 1), 3);
  pen.textAlign = "right";
  for (let c = Math.ceil(low / counts) * counts; c <= high; c += counts) {
    const at = Math.round(y(c)) + 0.5;
    pen.beginPath(); pen.moveTo(LEFT, at); pen.lineTo(width - RIGHT, at); pen.stroke();
    pen.fillText(c >= 1e5 || c <= -1e5 ? `${Math.round(c / 1000)}k` : c, LEFT - 6, at + 4);
  }
}

function wheels(pen, x, width) {
  if (shown.wheels.includes(null)) return;
  const from = Math.max(LEFT, x(shown.wheels[0])), to = Math.min(width - RIGHT, x(shown.wheels[1]));
  pen.fillStyle = colour("--passage");
  if (to > from) pen.fillRect(from, TOP, to - from, HEIGHT - TOP - BOTTOM);
}

function band(pen, trace, x, y, ink, broad) {
  const n = trace.min.length, [begin, end] = shown.window, step = (end - begin) / Math.max(1, n);
  pen.strokeStyle = ink; pen.fillStyle = ink; pen.lineWidth = broad; pen.lineJoin = "round";
  pen.beginPath();
  for (let i = 0; i < n; i++) pen.lineTo(x(begin + (i + 0.5) * step), y(trace.max[i]));
  for (let i = n - 1; i >= 0; i--) pen.lineTo(x(begin + (i + 0.5) * step), y(trace.min[i]));
  pen.closePath();
  pen.globalAlpha = 0.35; pen.fill();
  pen.globalAlpha = 1; pen.stroke();
}

function drag(event) {
  const canvas = event.currentTarget, box = canvas.getBoundingClientRect();
  const clamp = (e) => Math.min(box.width - RIGHT, Math.max(LEFT, e.clientX - box.left));
  const start = clamp(event);
  canvas.setPointerCapture(event.pointerId);
  canvas.onpointermove = (e) => {
    draw();
    const pen = canvas.getContext("2d");
    pen.fillStyle = colour("--select");
    pen.fillRect(Math.min(start, clamp(e)), TOP, Math.abs(clamp(e) - start), HEIGHT - TOP - BOTTOM);
  };
  canvas.onpointerup = (e) => {
    canvas.onpointermove = canvas.onpointerup = null;
    const [a, b] = [start, clamp(e)].sort((p, q) => p - q);
    if (b - a < 6) { draw(); return; }
    const [begin, end] = shown.window, wide = box.width - LEFT - RIGHT;
    const sample = (at) => Math.round(begin + (at - LEFT) / wide * (end - begin));
    load(sample(a), Math.max(sample(b), sample(a) + 16));
  };
}

if (host) {
  reset.addEventListener("click", () => load());
  addEventListener("resize", () => shown && draw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => shown && draw());
  load();
}

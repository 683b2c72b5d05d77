// Keeps the parts of the start page fresh, and says so when the station is not heard any more.
const LOST_AFTER_MS = 4000;
const html = document.documentElement;
const banner = document.querySelector(".lost");
let heard = performance.now();
let stream;

function show(parts) {
  for (const [name, content] of Object.entries(parts)) {
    const place = document.querySelector(`[data-part="${CSS.escape(name)}"]`);
    if (place === null) continue;
    place.innerHTML = content;
    if (name.startsWith("lane-")) flash(place);
  }
}

function flash(place) {
  place.classList.remove("fresh");
  void place.offsetWidth; // restarts the animation
  place.classList.add("fresh");
}

function listen() {
  stream = new EventSource(`/events?lang=${html.lang === "en" ? "en" : "zh"}`);
  let first = true;
  stream.addEventListener("parts", (event) => {
    heard = performance.now();
    const parts = JSON.parse(event.data);
    // A new stream begins with everything; what the page already shows must not flash.
    if (first) for (const name of Object.keys(parts)) if (same(name, parts[name])) delete parts[name];
    first = false;
    show(parts);
  });
}

function same(name, content) {
  const place = document.querySelector(`[data-part="${CSS.escape(name)}"]`);
  if (place === null) return true;
  const copy = document.createElement("template");
  copy.innerHTML = content;
  return copy.innerHTML === place.innerHTML;
}

setInterval(() => {
  const lost = performance.now() - heard > LOST_AFTER_MS;
  banner.hidden = !lost;
  html.classList.toggle("is-lost", lost);
  // The browser reconnects after a broken line, but not after a refused one.
  if (lost && stream.readyState === EventSource.CLOSED) listen();
}, 1000);

listen();

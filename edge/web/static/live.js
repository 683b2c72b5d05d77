// Keeps the parts of the start page fresh, and says so when the station is not heard any more.
const LOST_AFTER_MS = 4000;
const AIMED_MS = 500;
const html = document.documentElement;
const banner = document.querySelector(".lost");
let heard = performance.now();
let moved = -Infinity;
let stream;

function show(parts) {
  for (const [name, content] of Object.entries(parts)) {
    const place = document.querySelector(`[data-part="${CSS.escape(name)}"]`);
    if (place === null) continue;
    const before = buttons(place), focus = address(place, document.activeElement);
    place.innerHTML = content;
    if (focus) place.querySelector(focus)?.focus({ preventScroll: true });
    if (buttons(place) !== before) noteMove();
    if (name.startsWith("lane-")) flash(place);
  }
}

function buttons(place) {
  return [...place.querySelectorAll("form")].map((form) => form.action).join();
}

// What has the keyboard is found again by where it leads, for its element is made anew.
function address(place, element) {
  if (!place.contains(element)) return null;
  const form = element.closest("form");
  if (form) return `form[action="${form.getAttribute("action")}"] button`;
  return element.matches("a[href]") ? `a[href="${element.getAttribute("href")}"]` : null;
}

// Moved is what is seen to have moved: on a busy machine that is much later than the change.
function noteMove() {
  moved = Infinity;
  requestAnimationFrame(() => { moved = performance.now(); });
}

// A click made just after the buttons moved, or before, was aimed at another vehicle.
document.addEventListener("click", (event) => {
  if (event.timeStamp - moved < AIMED_MS && event.target.closest("form")) event.preventDefault();
});

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

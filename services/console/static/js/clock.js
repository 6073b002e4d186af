// Time on the page: counted from the server's, never from this machine's. Moves the clock, countdowns, durations and bars.

const html = document.documentElement;
/** How far the page may count on without a new fact in a simulated realm, in simulated ms. */
const AHEAD_MS = 300000;

let known = Number(html.dataset.now);
let knownAt = performance.now();
let stopped = false;

/** @param {number} ms epoch ms that the page now shows */
export function set(ms) {
  known = ms;
  knownAt = performance.now();
}

/** The server says that it is this late; only a realm on the real clock follows. @param {number} ms */
export function beat(ms) {
  if (!html.dataset.simulated) set(ms);
}

/** @returns {number} the time of the realm, epoch ms */
export function now() {
  const ahead = (performance.now() - knownAt) * Number(html.dataset.speed);
  return known + (html.dataset.simulated ? Math.min(ahead, AHEAD_MS) : ahead);
}

/** Stops all movement: what is shown is not up to date. @param {boolean} still */
export function freeze(still) {
  stopped = still;
}

const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
const paris = new Intl.DateTimeFormat("fr-FR", { timeZone: "Europe/Paris", hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** @param {number} ms @returns {string} `10:16:24` in Paris */
export function hms(ms) {
  return paris.format(ms);
}

/** @param {number} seconds @returns {string} as `times.lasted` writes it on the server */
function lasted(seconds) {
  const minutes = Math.max(0, Math.floor(seconds / 60));
  const days = html.lang === "fr" ? "j" : "d";
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)}`;
  return `${Math.floor(minutes / 1440)} ${days}`;
}

/** @param {number} ms @returns {string} as `times.countdown` writes it on the server */
export function countdown(ms) {
  const left = Math.max(0, Math.floor(ms / 1000));
  return left < 3600 ? `${two(Math.floor(left / 60))}:${two(left % 60)}` : lasted(left);
}

/** @param {Element | null} element @param {string} text */
function write(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

/** Brings everything that counts to the present. */
export function tick() {
  if (stopped) return;
  const at = now();
  write(document.getElementById("clock"), hms(at));
  for (const e of document.querySelectorAll("[data-until]")) write(e, countdown(Number(e.getAttribute("data-until")) - at));
  for (const e of document.querySelectorAll("[data-since]")) write(e, lasted((at - Number(e.getAttribute("data-since"))) / 1000));
  for (const bar of document.querySelectorAll("[data-fill-until]")) fill(bar, at);
}

/** @param {Element} bar @param {number} at */
function fill(bar, at) {
  const from = Number(bar.getAttribute("data-fill-from"));
  const start = Number(bar.getAttribute("data-fill-at"));
  const share = (at - from) / (Number(bar.getAttribute("data-fill-until")) - from);
  const width = Math.min(100, start + (100 - start) * Math.max(0, share)).toFixed(2);
  bar.querySelector(".fill")?.setAttribute("width", width);
}

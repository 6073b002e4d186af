// Time on the page: counted from the server's, never from this machine's. Moves the clock, countdowns, durations and bars.

const html = document.documentElement;
/** The clock of an exercise never goes back: a page that is ahead of the server by less than this stands still until the server is there. */
const hold = () => 120000 + 10000 * Number(html.dataset.speed);
/** @returns {string | null} where this tab keeps how far the clock of the exercise was */
const kept = () => (html.dataset.simulated && !html.dataset.past ? `clock ${html.dataset.realm}` : null);

let known = Number(html.dataset.now);
let floor = held(known);
let knownAt = performance.now();
let stopped = false;

/** @param {number} ms what the server says @returns {number} the same, or what this tab has shown already */
function held(ms) {
  const key = kept();
  const before = key ? Number(sessionStorage.getItem(key)) : 0;
  return before > ms && before - ms < hold() ? before : ms;
}

/** @param {number} ms epoch ms that the page now shows */
export function set(ms) {
  known = ms;
  floor = held(ms);
  knownAt = performance.now();
}

/** The server says that it is this late; only a realm on the real clock follows. @param {number} ms */
export function beat(ms) {
  if (!html.dataset.simulated) set(ms);
}

/** @returns {number} the time of the realm, epoch ms */
export function now() {
  const at = known + (performance.now() - knownAt) * Number(html.dataset.speed);
  if (!html.dataset.simulated) return at;
  return Math.max(floor, html.dataset.limit ? Math.min(at, Number(html.dataset.limit)) : known);
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
  const key = kept();
  if (key) sessionStorage.setItem(key, String(Math.floor(at)));
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

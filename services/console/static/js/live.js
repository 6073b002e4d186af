// Keeps the page alive: refreshes what has `data-live` when the realm changes, and says so when it cannot.

import * as clock from "./clock.js";
import * as drafts from "./drafts.js";
import { listen } from "./feed.js";
import { morph } from "./morph.js";
import { SILENCE_MS } from "./stream.js";

const REFRESH_GAP_MS = 400;
const LONGEST_GAP_MS = 4000;
const IDLE_REFRESH_MS = 30000;
/** For so long a decision that was taken looks under way, when its effect does not come. */
const LONGEST_WAIT_MS = 10000;
const DIGEST_GAP_MS = 20000;
const html = document.documentElement;

let lastBeat = performance.now();
/** @type {number | null} */
let retryAt = null;
let frozenAt = 0;
let loggedOut = false;
let wanted = false;
let busy = false;
let lastRefresh = performance.now();
/** The time of the picture that is shown, ms: a decision after it is recorded no earlier. The clock of an exercise runs on between its steps, and what is decided then has the time of the last one. */
let shown = Number(html.dataset.reached);
/** When the newest refresh was asked for. */
let asked = 0;
let firstOfQuiet = 0;
/** Refreshes in a row that the server could not answer, and since when. */
let failures = 0;
let failedSince = 0;

/** @type {(() => void)[]} */
const after = [];

/** @param {() => void} then called after each refresh */
export function onRefresh(then) {
  after.push(then);
}

/** Who waits for a picture that was asked for after a time. @type {{ since: number, then: () => void }[]} */
let waiting = [];

/** Refreshes. @returns {Promise<void>} until the page shows what is decided now, a few seconds at most */
export function refreshed() {
  const since = performance.now();
  refresh();
  return new Promise((then) => {
    waiting.push({ since, then });
    setTimeout(then, LONGEST_WAIT_MS);
  });
}

/** @type {(() => void)[]} */
const present = [];

/** @param {() => void} then called when somebody came to a page of the realm or left it */
export function onPresence(then) {
  present.push(then);
}

/** Refresh soon: now if the last one is long enough ago. */
export function refresh() {
  wanted = true;
  pump();
}

function pump() {
  if (!wanted || busy || loggedOut) return;
  const wait = Math.min(REFRESH_GAP_MS * 2 ** failures, LONGEST_GAP_MS) - (performance.now() - lastRefresh);
  if (wait > 0) {
    if (!firstOfQuiet) firstOfQuiet = setTimeout(() => ((firstOfQuiet = 0), pump()), wait);
    return;
  }
  wanted = false;
  busy = true;
  asked = performance.now();
  load().finally(() => {
    busy = false;
    lastRefresh = performance.now();
    pump();
  });
}

async function load() {
  try {
    const signal = AbortSignal.timeout(SILENCE_MS); // a connection that is half dead answers nothing, while the stream on another one says "live"
    const answer = await fetch(location.href, { headers: { "X-Vigie-Live": html.dataset.reader ?? "guest" }, cache: "no-store", signal });
    if (answer.status === 401) return logout();
    if (answer.status >= 500 || answer.status === 429) return again();
    if (answer.redirected) return leave(answer.url); // an incident that was merged into another one
    if (!answer.ok) return leave(); // it is gone, or no longer this reader's: the answer says so in words
    const text = await answer.text();
    failures = failedSince = 0;
    apply(new DOMParser().parseFromString(text, "text/html"));
  } catch {
    again();
  }
}

/** What changed has not been shown: ask again soon, ever more slowly. A page that cannot be had for long is as frozen as one that hears nothing. */
function again() {
  wanted = true;
  failures += 1;
  failedSince ||= asked;
}

/** Another page takes the place of this one. @param {string} [url] */
function leave(url) {
  drafts.leave(shown);
  if (url === undefined) location.reload();
  else location.replace(url);
}

/** @returns {number} the time of the picture that is shown, ms */
export const pictured = () => shown;

/** @param {Document} next */
function apply(next) {
  const root = next.documentElement;
  if (root.dataset.assets !== html.dataset.assets || root.dataset.realm !== html.dataset.realm) {
    leave();
    return;
  }
  html.dataset.speed = root.dataset.speed ?? "0";
  html.dataset.limit = root.dataset.limit ?? "";
  const alarmed = new Set((html.dataset.alarm ?? "").split(" "));
  html.dataset.alarm = root.dataset.alarm ?? "";
  clock.set(Number(root.dataset.now));
  const focused = document.activeElement;
  const pending = drafts.pending();
  /** @type {Set<Element>} */
  const changed = new Set();
  for (const part of document.querySelectorAll("[data-live]")) {
    const target = part.id ? next.getElementById(part.id) : null;
    if (target) morph(part, target, (e) => changed.add(e));
    else part.remove();
  }
  const known = new Set([...document.querySelectorAll("[data-live]")].map((e) => e.id));
  if ([...next.querySelectorAll("[data-live]")].some((e) => e.id && !known.has(e.id))) rebuild(next, known);
  if (focused instanceof HTMLElement && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  drafts.recover(pending, shown, focused);
  shown = Number(root.dataset.reached);
  document.title = next.title;
  const alarms = (html.dataset.alarm ?? "").split(" ").filter(Boolean);
  if (alarms.some((id) => !alarmed.has(id))) tellAlarm(alarms.length);
  mark(changed);
  clock.tick();
  for (const then of after) then();
  const met = waiting.filter(({ since }) => since <= asked);
  waiting = waiting.filter(({ since }) => since > asked);
  for (const { then } of met) then();
}

/** A part that the page did not have yet: put it where the server has it. @param {Document} next @param {Set<string>} known */
function rebuild(next, known) {
  for (const part of next.querySelectorAll("[data-live]")) {
    if (known.has(part.id) || !part.parentElement) continue;
    let before = part.previousElementSibling;
    while (before && !(before.id && document.getElementById(before.id))) before = before.previousElementSibling;
    const copy = document.importNode(part, true);
    const anchor = before ? document.getElementById(before.id) : null;
    if (anchor) anchor.after(copy);
    else sibling(part)?.before(copy);
  }
}

/** @param {Element} part @returns {Element | null} what follows it on the page as it is */
function sibling(part) {
  let next = part.nextElementSibling;
  while (next && !(next.id && document.getElementById(next.id))) next = next.nextElementSibling;
  return next ? document.getElementById(next.id) : null;
}

/** Shows for a moment which rows changed. @param {Set<Element>} changed */
function mark(changed) {
  for (const e of changed) {
    if (!e.matches("tr, li")) continue;
    e.classList.remove("fresh");
    void e.clientWidth;
    e.classList.add("fresh");
    e.addEventListener("animationend", () => e.classList.remove("fresh"), { once: true });
  }
  digest([...changed].filter((e) => e.hasAttribute("data-fact")));
}

let digestAt = -DIGEST_GAP_MS;
let untold = 0;
let digestTimer = 0;

/** Tells new facts to a screen reader, politely: at most one sentence per 20 s, and the last one for certain. @param {Element[]} fresh */
function digest(fresh) {
  const region = document.getElementById("digest");
  untold += fresh.length;
  const newest = document.querySelector("[data-fact]");
  if (!region || !untold || !newest) return;
  const wait = digestAt + DIGEST_GAP_MS - performance.now();
  if (wait > 0) {
    clearTimeout(digestTimer);
    digestTimer = setTimeout(() => digest([]), wait);
    return;
  }
  const form = untold > 1 ? region.dataset.many : region.dataset.one;
  region.textContent = (form ?? "").replace("{n}", String(untold)).replace("{text}", (newest.textContent ?? "").replace(/^\d\d:\d\d/, ""));
  digestAt = performance.now();
  untold = 0;
}

/** Tells a screen reader what only the eye sees. @param {string} text */
export function announce(text) {
  const region = document.getElementById("digest");
  if (region) region.textContent = text;
}

/** Tells a screen reader at once, on every page, that a crisis waits for somebody to take charge. @param {number} count */
function tellAlarm(count) {
  const region = document.getElementById("digest");
  if (!region) return;
  region.textContent = (region.dataset.alarm ?? "").replace("{n}", String(count));
  digestAt = performance.now();
}

let rejoin = () => {};

/** Somebody logged in again in another tab: this page goes on, with what is written in it. */
async function comeBack() {
  loggedOut = false;
  await load();
  if (loggedOut || failedSince) return;
  frozenAt = 0;
  lastBeat = performance.now();
  rejoin();
  show();
}

function logout() {
  loggedOut = true;
  frozenAt ||= clock.now();
  show();
}

/** Once a second: the age of what is shown, and the frozen state. */
function watch() {
  const silent = performance.now() - lastBeat;
  const stale = failedSince ? performance.now() - failedSince : 0;
  const dead = Math.max(silent, stale) > SILENCE_MS;
  if (dead && !frozenAt) frozenAt = clock.now() - (html.dataset.simulated ? 0 : Math.max(silent, stale));
  if (!dead && !loggedOut) frozenAt = 0;
  const age = document.getElementById("age");
  if (age) age.textContent = (age.dataset.unit ?? "{n}").replace("{n}", String(Math.floor(silent / 1000)));
  clock.freeze(Boolean(frozenAt));
  show();
  clock.tick();
  if (!frozenAt && performance.now() - lastRefresh > IDLE_REFRESH_MS) refresh();
}

function show() {
  const band = document.getElementById("frozen");
  if (!band) return;
  html.classList.toggle("is-frozen", Boolean(frozenAt));
  if (!frozenAt) {
    band.hidden = true;
    band.textContent = "";
    delete band.dataset.shown;
    return;
  }
  const seconds = retryAt === null ? 0 : Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
  const form = loggedOut ? band.dataset.login : seconds ? band.dataset.text : band.dataset.retrying;
  const text = (form ?? "").replace("{at}", clock.hms(frozenAt)).replace("{n}", String(seconds));
  const kind = loggedOut ? "login" : "frozen";
  if (band.dataset.shown !== kind) {
    band.dataset.shown = kind; // the links are made once: they keep the focus, and a screen reader hears the sentence once
    band.replaceChildren(document.createElement("span"), ...(loggedOut ? toLogin(band) : otherFronts(band)));
    const region = document.getElementById("digest");
    if (region) region.textContent = text;
  }
  const sentence = band.querySelector("span");
  if (sentence && sentence.textContent !== text) sentence.textContent = text;
  band.hidden = false;
}

/** A link to the login in another tab: what is written in this page stays. @param {HTMLElement} band */
function toLogin(band) {
  const link = document.createElement("a");
  link.href = `/connexion?next=${encodeURIComponent(location.pathname + location.search)}`;
  link.textContent = band.dataset.loginLink ?? "";
  link.target = "_blank";
  return [" ", link];
}

/** Links to the other machines of a cluster: one of them may know more. @param {HTMLElement} band */
function otherFronts(band) {
  const fronts = (band.dataset.fronts ?? "").split(" ").filter(Boolean);
  return fronts.flatMap((front) => {
    const link = document.createElement("a");
    link.href = front;
    link.textContent = (band.dataset.front ?? "").replace("{address}", front);
    return [" ", link];
  });
}

/** The sign of life moves when something is heard, and only then: what moves all the time takes a twelfth of a core from every open page. */
function pulse() {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const sign = document.querySelector("#live .beat");
  if (sign?.getAnimations().length === 0) sign.animate({ opacity: [1, 0.4, 1] }, { duration: 700, easing: "ease-in-out" });
}

/** @param {import("./stream.js").Signal} signal */
function hear(signal) {
  switch (signal.type) {
    case "beat":
      if (frozenAt) refresh();
      lastBeat = performance.now();
      retryAt = null;
      pulse();
      if (signal.serverTime !== null) clock.beat(signal.serverTime);
      break;
    case "change":
      if (signal.event === "presence") for (const then of present) then();
      else refresh();
      break;
    case "down":
      retryAt = signal.retryAt;
      break;
    case "retrying":
      retryAt = null;
      break;
    case "login":
      logout();
  }
}

export function start() {
  rejoin = listen(html.dataset.realm ?? "", html.dataset.assets ?? "", hear);
  setInterval(watch, 1000);
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && (loggedOut ? comeBack() : refresh()));
  watch();
}

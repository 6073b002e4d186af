// Says who else has this page open, and tells them that this reader has: a word every few seconds while the page is seen.

import { onPresence } from "./live.js";
import { csrfToken, get, post } from "./post.js";

/** As `services.console.live.presence.BEAT_S`. */
const BEAT_MS = 15000;
const html = document.documentElement;

/** @typedef {{name: string, role: string, places: string[]}} Person */

/** @returns {HTMLElement | null} where it stands; only for who may see it */
const sign = () => document.querySelector("[data-presence]");

const url = () => `/api/v1/presence?realm=${encodeURIComponent(html.dataset.realm ?? "")}`;

/** @param {Person} person @param {HTMLElement} at @returns {string} */
function told({ name, role, places }, at) {
  const elsewhere = !places.includes(at.dataset.presence ?? "") ? at.dataset.elsewhere ?? "" : "";
  const detail = [name ? role : "", elsewhere].filter(Boolean).join(", ");
  return detail ? `${name || role} (${detail})` : name || role;
}

/** @param {Person[]} people */
function show(people) {
  const at = sign();
  if (!at) return;
  const who = people.map((person) => told(person, at)).join(", ");
  const text = (people.length === 1 ? at.dataset.one : at.dataset.many) ?? "";
  at.hidden = people.length === 0;
  const words = at.querySelector("span");
  if (words) words.textContent = people.length ? text.replace("{who}", who) : "";
}

async function beat() {
  const place = sign()?.dataset.presence;
  if (!place || document.visibilityState !== "visible") return;
  const { ok, data } = await post(url(), { place });
  if (ok) show(data.people ?? []);
}

async function look() {
  const place = sign()?.dataset.presence;
  if (!place || document.visibilityState !== "visible") return;
  const { ok, data } = await get(place === "cell" ? url() : `${url()}&place=${encodeURIComponent(place)}`);
  if (ok) show(data.people ?? []);
}

/** The page goes: the request must outlive it. */
function leave() {
  const place = sign()?.dataset.presence;
  if (!place) return;
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": csrfToken() };
  fetch(url(), { method: "POST", headers, body: JSON.stringify({ place, here: false }), keepalive: true }).catch(() => {});
}

export function start() {
  if (!sign()) return;
  onPresence(look);
  setInterval(beat, BEAT_MS);
  document.addEventListener("visibilitychange", () => (document.visibilityState === "visible" ? beat() : leave()));
  addEventListener("pagehide", leave);
  beat();
}

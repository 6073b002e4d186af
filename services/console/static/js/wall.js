// The wall turns through its views by itself while nothing is open. It stands still where a reader asked for less motion, and when told to.

import { onRefresh } from "./live.js";

/** How long a view stays: ten lines can be read in it from five metres. */
const STAYS_MS = 20000;

const room = () => document.getElementById("contenu");
const views = () => /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-view-name]")]);
const button = () => document.getElementById("turn");
let still = matchMedia("(prefers-reduced-motion: reduce)").matches;

/** @param {string} name of a view; "" for the first, which is all that there is in a crisis */
function show(name) {
  const main = room();
  if (main && main.dataset.view !== name) main.dataset.view = name;
}

function turn() {
  const names = ["", ...views().map((view) => view.dataset.viewName ?? "")];
  if (names.length > 1) show(names[(names.indexOf(room()?.dataset.view ?? "") + 1) % names.length]);
}

function settle() {
  const shown = room()?.dataset.view ?? "";
  if (!views().some((view) => view.dataset.viewName === shown)) show("");
  const control = button();
  if (control) control.textContent = (still ? control.dataset.go : control.dataset.stop) ?? "";
}

export function start() {
  if (!document.body.classList.contains("wall")) return;
  setInterval(() => still || turn(), STAYS_MS);
  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element) || event.target.id !== "turn") return;
    still = !still;
    if (!still) turn();
    settle();
  });
  onRefresh(settle);
  settle();
}

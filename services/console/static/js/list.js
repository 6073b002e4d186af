// The cell's list at the keyboard: choose a row with the arrows, see it on the map, search without waiting for the server.

import { onRefresh } from "./live.js";

/** @type {string | null} */
let chosen = null;

const rows = () => /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-row]:not([hidden])")]);

/** @param {HTMLElement | null} row @param {boolean} follow scroll it into view */
function choose(row, follow) {
  for (const one of document.querySelectorAll("[data-row][aria-selected]")) one.removeAttribute("aria-selected");
  for (const one of document.querySelectorAll("use.chosen")) one.classList.remove("chosen");
  chosen = row?.getAttribute("data-key") ?? null;
  if (!row) return;
  row.setAttribute("aria-selected", "true");
  const site = row.dataset.site;
  if (site) for (const glyph of document.querySelectorAll(`use[data-site="${CSS.escape(site)}"]`)) glyph.classList.add("chosen");
  if (follow) {
    row.scrollIntoView({ block: "nearest" });
    const link = row.querySelector("a");
    (link ?? row).focus({ preventScroll: true });
  }
}

/** @param {number} step */
function move(step) {
  const all = rows();
  const at = all.findIndex((row) => row.getAttribute("data-key") === chosen);
  const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + step));
  choose(all[next] ?? null, true);
}

/** As `fold_text` on the server: lower case, no accents, no ligatures, plain apostrophes. @param {string} text */
export const folded = (text) => text.replaceAll("’", "'").toLowerCase().replaceAll("œ", "oe").replaceAll("æ", "ae").normalize("NFKD").replace(/\p{M}/gu, "");

function search() {
  const field = document.getElementById("q");
  if (!(field instanceof HTMLInputElement)) return;
  const wanted = folded(field.value.trim());
  let shown = 0;
  for (const row of document.querySelectorAll("[data-row]")) {
    const hit = !wanted || (row.getAttribute("data-text") ?? "").includes(wanted);
    row.toggleAttribute("hidden", !hit);
    if (hit) shown += 1;
  }
  for (const group of document.querySelectorAll("#rows tbody")) {
    const any = group.querySelector("[data-row]");
    if (any) group.toggleAttribute("hidden", !group.querySelector("[data-row]:not([hidden])"));
  }
  const none = document.getElementById("nohit");
  if (none) none.hidden = shown > 0 || !wanted;
}

/** The entry of the history keeps the search: the way back from a row leads to the rows that were searched for. */
function keepSearch() {
  const field = document.getElementById("q");
  if (field instanceof HTMLInputElement) history.replaceState({ q: field.value }, "");
  search();
}

function takeUpSearch() {
  const field = document.getElementById("q");
  const kept = history.state?.q;
  if (!(field instanceof HTMLInputElement) || typeof kept !== "string") return;
  field.value = kept;
  search();
}

const LAYOUTS = ["deux", "tableau", "carte"];

/** Table, map, or both; kept in the address, so that a refresh and a bookmark keep it. */
function layout() {
  const now = LAYOUTS.find((l) => document.body.classList.contains(`layout-${l}`)) ?? "deux";
  show(LAYOUTS[(LAYOUTS.indexOf(now) + 1) % LAYOUTS.length]);
}

/** @param {string} wanted */
function show(wanted) {
  for (const l of LAYOUTS) document.body.classList.toggle(`layout-${l}`, l === wanted);
  for (const a of document.querySelectorAll("[data-layout]")) {
    if (a.getAttribute("data-layout") === wanted) a.setAttribute("aria-current", "true");
    else a.removeAttribute("aria-current");
  }
  const url = new URL(location.href);
  url.searchParams.set("affichage", wanted);
  history.replaceState(history.state, "", url);
}

/** @param {KeyboardEvent} event @returns {boolean} handled */
export function key(event) {
  switch (event.key) {
    case "ArrowDown":
    case "ArrowUp":
      move(event.key === "ArrowDown" ? 1 : -1);
      return true;
    case "m":
      layout();
      return true;
    default:
      return false;
  }
}

export function start() {
  if (!document.getElementById("rows")) return;
  document.getElementById("q")?.addEventListener("input", keepSearch);
  document.querySelector(".search")?.addEventListener("submit", (event) => {
    event.preventDefault();
    const url = new URL(location.href);
    const field = document.getElementById("q");
    if (field instanceof HTMLInputElement && field.value.trim()) url.searchParams.set("q", field.value.trim());
    else url.searchParams.delete("q");
    history.replaceState(null, "", url);
    search();
  });
  takeUpSearch();
  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const seg = target?.closest("[data-layout]");
    if (seg) {
      event.preventDefault();
      show(seg.getAttribute("data-layout") ?? "deux");
    }
    const row = target?.closest("[data-row]");
    if (row instanceof HTMLElement && !target?.closest("a, button")) choose(row, false);
    const glyph = target?.closest("use[data-site]");
    if (glyph) choose(document.querySelector(`[data-row][data-site="${CSS.escape(glyph.getAttribute("data-site") ?? "")}"]`), true);
  });
  document.addEventListener("focusin", (event) => {
    const row = event.target instanceof Element ? event.target.closest("[data-row]") : null;
    if (row instanceof HTMLElement && row.getAttribute("data-key") !== chosen) choose(row, false);
  });
  onRefresh(() => {
    search();
    const row = chosen ? document.querySelector(`[data-row][data-key="${CSS.escape(chosen)}"]`) : null;
    if (row instanceof HTMLElement && !row.hasAttribute("aria-selected")) choose(row, false);
    else if (row instanceof HTMLElement && row.dataset.site)
      for (const glyph of document.querySelectorAll(`use[data-site="${CSS.escape(row.dataset.site)}"]`)) glyph.classList.add("chosen");
  });
  search();
}

// Single keys, only where nobody is typing. They can be switched off in the menu (WCAG 2.1.4), and `?` lists them.

import * as list from "./list.js";
import { onRefresh } from "./live.js";

const MENUS = "#menu[open], #ways[open], #level-menu[open], .held-to[open]";

/** @param {EventTarget | null} target @returns {boolean} true as well where the field was taken away under the writing hand: what goes on being typed decides nothing */
function typing(target) {
  if (target instanceof Element && target.closest(".overtaken")) return true;
  return target instanceof HTMLElement && target.matches("input:not([type=radio]):not([type=checkbox]), textarea, select, [contenteditable]");
}

/** Where the keyboard was before the list of keys opened. @type {Element | null} */
let beforeHelp = null;

/** @param {boolean} open */
function help(open) {
  const box = document.getElementById("help");
  if (!box || box.hidden !== open) return;
  const within = box.contains(document.activeElement);
  if (open) beforeHelp = document.activeElement;
  box.hidden = !open;
  if (open) box.querySelector("button")?.focus();
  else if (within && beforeHelp instanceof HTMLElement && beforeHelp.isConnected) beforeHelp.focus();
}

/** @param {string} id */
function focus(id) {
  const field = document.getElementById(id);
  field?.focus();
  if (field instanceof HTMLInputElement) field.select();
}

const SWITCH = "vigie-keys";

/** @returns {boolean} */
function switchedOn() {
  try {
    return localStorage.getItem(SWITCH) !== "off";
  } catch {
    return true; // a browser that keeps nothing keeps the keys
  }
}

/** Switch the single keys on or off for this browser, and say which. */
function toggleKeys() {
  try {
    localStorage.setItem(SWITCH, switchedOn() ? "off" : "on");
  } catch {
    return;
  }
  showSwitch();
}

function showSwitch() {
  const on = switchedOn();
  document.documentElement.classList.toggle("no-keys", !on);
  for (const button of document.querySelectorAll("[data-keys]")) button.setAttribute("aria-pressed", String(on));
}

/** The key alone decides nothing: it goes to the button and says what Enter does there. */
function askToAcknowledge() {
  const form = document.querySelector("form[data-name=acknowledge]");
  if (!(form instanceof HTMLFormElement)) return;
  form.querySelector("button")?.focus();
  const said = document.getElementById(form.dataset.said ?? "");
  if (said) said.textContent = form.dataset.ask ?? "";
}

/** @param {KeyboardEvent} event */
function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    help(false);
    for (const box of document.querySelectorAll(MENUS)) {
      if (box.contains(document.activeElement)) box.querySelector("summary")?.focus();
      box.removeAttribute("open");
    }
    if (typing(event.target) && event.target instanceof HTMLElement) event.target.blur();
    return;
  }
  if (typing(event.target) || !switchedOn()) return;
  switch (event.key) {
    case "a":
      askToAcknowledge();
      break;
    case "n":
      focus("mc");
      break;
    case "/":
      focus("q");
      break;
    case "?":
      help(document.getElementById("help")?.hidden ?? false);
      break;
    default:
      if (!list.key(event)) return;
  }
  event.preventDefault();
}

/** A link to a decision opens it, and the fold around it: `#plan-PT-ELEC`, `#level-form`. A link of the list of sections opens nothing: it shows the head of one. */
function openTarget() {
  const target = location.hash ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null;
  if (!target) return;
  target.parentElement?.closest("details")?.setAttribute("open", "");
  const section = document.querySelector(`.jump a[href="#${CSS.escape(target.id)}"]`) !== null;
  if (!section) (target.matches("details") ? target : target.querySelector("details"))?.setAttribute("open", "");
  target.scrollIntoView({ block: section ? "start" : "center" });
}

export function start() {
  openTarget();
  showSwitch();
  onRefresh(showSwitch);
  addEventListener("hashchange", openTarget);
  document.addEventListener("keydown", press);
  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const link = target?.closest("[data-focus]");
    if (link) {
      event.preventDefault();
      focus(link.getAttribute("data-focus") ?? "");
    }
    if (target?.closest("[data-close=help]")) help(false);
    if (target?.closest("[data-keys]")) toggleKeys();
    const named = target?.closest("a[href^='#']")?.getAttribute("href")?.slice(1) ?? "";
    const asked = named ? document.getElementById(named) : null;
    if (asked?.matches("details")) {
      event.preventDefault();
      asked.setAttribute("open", "");
      asked.querySelector("select")?.focus();
      return;
    }
    for (const box of document.querySelectorAll(MENUS)) if (!target || !box.contains(target)) box.removeAttribute("open");
  });
}

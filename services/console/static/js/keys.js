// Single keys, only where nobody is typing (WCAG 2.1.4: none works inside a field, and `?` lists them).

import * as list from "./list.js";

const MENUS = "#menu[open], #ways[open], .held-to[open]";

/** @param {EventTarget | null} target @returns {boolean} true as well where the field was taken away under the writing hand: what goes on being typed decides nothing */
function typing(target) {
  if (target instanceof Element && target.closest(".overtaken")) return true;
  return target instanceof HTMLElement && target.matches("input:not([type=radio]):not([type=checkbox]), textarea, select, [contenteditable]");
}

/** @param {boolean} open */
function help(open) {
  const box = document.getElementById("help");
  if (!box) return;
  box.hidden = !open;
  if (open) box.querySelector("button")?.focus();
}

/** @param {string} id */
function focus(id) {
  const field = document.getElementById(id);
  field?.focus();
  if (field instanceof HTMLInputElement) field.select();
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
  if (typing(event.target)) return;
  switch (event.key) {
    case "a": {
      const form = document.querySelector("form[data-name=acknowledge]");
      if (form instanceof HTMLFormElement) form.requestSubmit();
      break;
    }
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

/** A link to a decision opens it: `#plan-PT-ELEC`, `#level-form`. */
function openTarget() {
  const target = location.hash ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null;
  const details = target?.matches("details") ? target : target?.querySelector("details");
  details?.setAttribute("open", "");
  target?.scrollIntoView({ block: "center" });
}

export function start() {
  openTarget();
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
    for (const box of document.querySelectorAll(MENUS)) if (!target || !box.contains(target)) box.removeAttribute("open");
  });
}

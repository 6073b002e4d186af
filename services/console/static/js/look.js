// The effect of what a form holds, before it is sent: the parts of the page that show it (`data-part`), as the server renders them for
// these values. Everything else that was typed stays where it is.

import { morph } from "./morph.js";

const PATIENCE_MS = 60000;
const MOST_TURNS = 5;
/** The look that is under way. @type {Promise<void>} */
let current = Promise.resolve();

/** A decision waits for the look that precedes it: its values are part of it. */
export const looked = () => current;

/** @param {HTMLFormElement} form `data-look-at`: address of its page; `data-beside`: id of another form of the same values */
function addressOf(form) {
  const to = new URL(form.dataset.lookAt ?? "", location.href);
  const beside = document.getElementById(form.dataset.beside ?? "");
  const own = new Set(form.dataset.beside === undefined ? [] : ["values.conditions"]);
  for (const one of beside instanceof HTMLFormElement ? [form, beside] : [form])
    for (const [name, given] of new FormData(one)) {
      if (typeof given !== "string" || own.has(name)) continue;
      if (/^(values\.|c\d+\.)/.test(name)) to.searchParams.append(name, given);
      else if (/^(realm|seen|reprise)$/.test(name)) to.searchParams.set(name, given);
    }
  return to;
}

/** @param {URL} address @returns {Promise<Document | null>} */
async function fetchPage(address) {
  try {
    const answer = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    return answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
  } catch {
    return null;
  }
}

/** @param {HTMLFormElement} form @param {HTMLButtonElement | null} button */
async function show(form, button) {
  form.setAttribute("aria-busy", "true");
  let page = null;
  // what was typed meanwhile is asked for again
  for (let turn = 0, asked = ""; turn < MOST_TURNS && addressOf(form).href !== asked; turn++) {
    const address = addressOf(form);
    asked = address.href;
    if (button?.name) address.searchParams.set(button.name, button.value);
    page = await fetchPage(address);
  }
  form.removeAttribute("aria-busy");
  const said = document.getElementById(form.dataset.said ?? "");
  if (said) said.textContent = page ? "" : document.documentElement.dataset.unseen ?? "";
  said?.classList.toggle("refused", !page);
  if (!page) return;
  for (const part of document.querySelectorAll("[data-part]")) {
    const fresh = page.getElementById(part.id);
    if (fresh) morph(part, fresh, () => {});
  }
  if (button?.dataset.look) document.getElementById(button.dataset.look)?.scrollIntoView({ block: "nearest" });
}

/** @param {HTMLFormElement} form @param {HTMLButtonElement | null} button */
export function look(form, button) {
  current = current.then(() => show(form, button));
}

export function start() {
  document.addEventListener("submit", (event) => {
    const { target: form, submitter } = event;
    if (!(form instanceof HTMLFormElement) || !(submitter instanceof HTMLButtonElement) || submitter.dataset.look === undefined) return;
    event.preventDefault();
    look(form, submitter);
  });
  // a choice shows at once which others it asks for
  document.addEventListener("change", (event) => {
    const form = event.target instanceof Element ? event.target.closest("form[data-looks]") : null;
    if (form instanceof HTMLFormElement) look(form, null);
  });
}

// What somebody is deciding while it is decided elsewhere. A refresh takes a form away when its matter is over, or brings another version
// of it: what was written goes into the other version, or is given back with the lines of the main courante that say who decided what.

import { picked, refill } from "./picker.js";
import { csrfToken } from "./post.js";
import { changed, chips, fieldsOf, fill, keep, keepTyped, squeezed, taken } from "./typed.js";

/** @typedef {import("./typed.js").Field} Field */
/** @typedef {{ label: string, text: string }} Written */
/** @typedef {import("./typed.js").Given} Given */
/** @typedef {{ name: string, what: string, written: Written[], fields: Given[], place: number }} Draft `place`: of the field where the person was, -1 elsewhere */

const LEFT = "vigie_overtaken";
/** Before the address of a page that was left with a text in it. */
const TYPED = "vigie_typed ";
/** The line of a decision may be a little older than the picture in which it was still to be taken. */
const TOLERANCE_MS = 5000;
const LINES = 3;
/** Forms that this page has sent itself, and those that stood open without a word when it did. @type {WeakSet<HTMLFormElement>} */
const done = new WeakSet();
/** The page that comes has this one's texts already. */
let handed = false;

const forms = () => /** @type {HTMLFormElement[]} */ ([...document.querySelectorAll("form[data-command]")]);

/** @param {HTMLFormElement} form */
const opened = (form) => Boolean(form.closest("details.decide[open]"));

/** @param {HTMLFormElement} form @returns {Written[]} in words, as far as it is words */
function written(form) {
  return changed(form)
    .filter((field) => !(field instanceof HTMLInputElement) || !["checkbox", "radio", "file"].includes(field.type))
    .map((field) => ({
      label: labelled(form, field),
      text: [chips(field), field instanceof HTMLSelectElement ? squeezed(field.selectedOptions[0]?.textContent) : field.value.trim()].filter(Boolean).join(", "),
    }));
}

/** A field of a form that is no longer in the page knows none of its labels. @param {HTMLFormElement} form @param {Field} field */
function labelled(form, field) {
  const label = field.closest("label") ?? (field.id ? form.querySelector(`label[for="${CSS.escape(field.id)}"]`) : null);
  return squeezed(label?.firstChild?.textContent ?? field.getAttribute("aria-label"));
}

/** @param {HTMLFormElement} form @param {Element | null} [focused] where the person is @returns {Draft} */
function draft(form, focused = null) {
  return {
    name: nameOf(form),
    what: squeezed((form.querySelector("button:not([type=button])") ?? form.querySelector("button"))?.textContent),
    written: written(form),
    fields: fieldsOf(form, (field) => [picked(field), field.value].filter(Boolean).join(";")),
    place: focused ? [...form.elements].indexOf(focused) : -1,
  };
}

/** @param {HTMLFormElement} form @returns {string} two forms with the same name decide the same */
const nameOf = (form) => [form.getAttribute("action"), ...[...form.querySelectorAll("input[type=hidden]")].map((e) => e instanceof HTMLInputElement && `${e.name}=${e.value}`)].join(" ");

/** @returns {HTMLFormElement[]} forms that somebody has opened or written in and not sent */
export function pending() {
  const sending = document.querySelector("form[data-command][aria-busy]") !== null;
  return forms().filter((form) => !form.hasAttribute("aria-busy") && !done.has(form) && (changed(form).length > 0 || (opened(form) && !sending)));
}

/** This page has decided it itself. @param {HTMLFormElement} form */
export function settled(form) {
  done.add(form);
  for (const other of forms()) if (changed(other).length === 0) done.add(other);
}

/**
 * After a refresh: whatever is gone is found again, or told. @param {HTMLFormElement[]} before what was pending
 * @param {number} since ms, the time of the picture before @param {Element | null} focused where the person was
 */
export function recover(before, since, focused) {
  restore(before.filter((form) => !form.isConnected).map((form) => draft(form, focused)), since);
}

/** @param {Draft[]} drafts @param {number} since ms @param {string} [note] beside a form that has them again */
function restore(drafts, since, note = document.documentElement.dataset.changed) {
  const lost = drafts.filter((one) => !carried(one, note));
  if (lost.length) tell(lost, since);
}

/** @param {Draft} old @returns {HTMLFormElement | undefined} another version of its form, in which nothing is written yet */
const freshOf = (old) => forms().find((form) => nameOf(form) === old.name && changed(form).length === 0);

/** @param {Draft} old @param {string} [note] beside the form then @returns {boolean} another version of its form stands there now, with what was written and where the person was */
function carried(old, note) {
  const fresh = freshOf(old);
  if (!fresh || old.fields.some(({ type }) => type === "file")) return false; // no page can choose a file again
  if (!fill(fresh, old.fields, (field, value) => (picked(field) === null ? (field.value = value) : refill(field, value)))) return false;
  fresh.closest("details")?.setAttribute("open", "");
  const there = fresh.elements[old.place];
  if (there instanceof HTMLElement) there.focus({ preventScroll: true });
  const said = document.getElementById(fresh.dataset.said ?? "");
  if (said) said.textContent = note ?? "";
  return true;
}

/** A request of this page was refused, and its form is no longer there to say so. @param {HTMLFormElement} form @param {string} refusal @param {number} since */
export function refused(form, refusal, since) {
  tell([{ ...draft(form), what: refusal }], since);
}

/** The page is about to be another one: the next has what was written in this one, or gives it back, to the same person. @param {number} since */
export function leave(since) {
  const lost = pending().map((form) => draft(form, document.activeElement)).filter((one) => one.fields.length > 0 || one.place >= 0);
  handed = true;
  keep(LEFT, lost, since, csrfToken());
}

/** @param {HTMLFormElement} form @returns {boolean} whether a person has written words in it */
const worded = (form) => changed(form).some((field) => field instanceof HTMLTextAreaElement || (field instanceof HTMLInputElement && field.type === "text" && field.value.trim() !== ""));

/** Nothing that pages kept in this tab is for the next person. */
export function forget() {
  try {
    for (const name of Object.keys(sessionStorage)) if (name.startsWith("vigie_")) sessionStorage.removeItem(name);
  } catch {
    console.info("nothing was kept");
  }
}

/** The notes stand there at once, for where the person was writing is gone; who decided what comes after. @param {Draft[]} lost @param {number} since */
async function tell(lost, since) {
  const frame = document.getElementById("overtaken");
  if (!(frame instanceof HTMLTemplateElement)) return;
  const notes = lost.map((one) => noteOf(frame, one));
  frame.before(...notes);
  notes[lost.findIndex((one) => one.place >= 0)]?.focus({ preventScroll: true });
  const lines = await decidedSince(since);
  for (const note of notes) list(note, "[data-decided]", lines);
}

/** @param {HTMLTemplateElement} frame @param {Draft} draft @returns {HTMLElement} */
function noteOf(frame, { what, written }) {
  const note = /** @type {HTMLElement} */ (document.importNode(frame.content, true).firstElementChild);
  /** @type {HTMLElement} */ (note.querySelector("[data-what]")).textContent = what;
  list(note, "[data-had]", written.map(({ label, text }) => (label ? `${label}${colon()} ${text}` : text)));
  return note;
}

/** @param {HTMLElement} note @param {string} name of a part that is shown when it has an item @param {string[]} texts */
function list(note, name, texts) {
  const part = /** @type {HTMLElement} */ (note.querySelector(name));
  part.querySelector("ul")?.replaceChildren(...texts.map(item));
  part.hidden = texts.length === 0;
}

/** @param {Element} seen the button of a note */
function close(seen) {
  seen.closest(".overtaken")?.remove();
  document.getElementById("contenu")?.focus({ preventScroll: true });
}

const colon = () => (document.documentElement.lang === "fr" ? "\u00a0:" : ":");

/** @param {string} text */
function item(text) {
  const made = document.createElement("li");
  made.textContent = text;
  return made;
}

/** @param {number} since ms @returns {Promise<string[]>} the newest decisions after it, for who may read them */
export async function decidedSince(since) {
  try {
    const realm = document.documentElement.dataset.realm ?? "";
    const answer = await fetch(`/main-courante?realm=${encodeURIComponent(realm)}`, { cache: "no-store", signal: AbortSignal.timeout(15_000) });
    if (!answer.ok) return [];
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return [...page.querySelectorAll("[data-decision]")]
      .filter((row) => Number(row.getAttribute("data-recorded")) > since - TOLERANCE_MS)
      .slice(0, LINES)
      .map((row) => row.getAttribute("data-decision") ?? "");
  } catch {
    return [];
  }
}

export function start() {
  document.addEventListener("input", (event) => event.target instanceof Element && event.target.closest("form") && done.delete(/** @type {HTMLFormElement} */ (event.target.closest("form"))));
  document.addEventListener("toggle", (event) => {
    const details = event.target instanceof HTMLDetailsElement && event.target.open ? event.target : null;
    for (const form of details?.querySelectorAll("form") ?? []) done.delete(form);
  }, true);
  document.addEventListener("click", (event) => event.target instanceof Element && event.target.matches("[data-seen]") && close(event.target));
  const left = taken(LEFT, csrfToken());
  const typed = keepTyped(TYPED, () => (handed ? [] : forms().filter((form) => !done.has(form) && worded(form)).map((form) => draft(form))), csrfToken);
  if (left) restore(left.lost, left.since);
  else if (typed) restore(typed.lost, typed.since, document.documentElement.dataset.resumed);
}

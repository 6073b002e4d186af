// A field for things that the data know by an id: one writes a name, takes a suggestion of its <datalist> (an option's value is its label, `data-id` its
// id), and it stands in the field as a chip. Ids are taken too, one or a pasted list. All state is in the page: a form that comes later needs no start.

import { folded } from "./list.js";

/** Names in a sentence. */
const NAMED = 3;

/** @typedef {{ id: string, label: string, name: string }} Choice `name`: how it is shown, the label without the id unless two would be the same */

/** @param {EventTarget | null} target @returns {target is HTMLInputElement} */
const isPicker = (target) => target instanceof HTMLInputElement && target.dataset.pick !== undefined;
/** @param {HTMLInputElement} field */
const list = (field) => /** @type {HTMLElement} */ (field.previousElementSibling);
/** @param {HTMLInputElement} field */
const chips = (field) => /** @type {HTMLElement[]} */ ([...list(field).children]);

/** @param {Element} field @returns {string | null} the ids of what was picked, with commas between; null: it is no picker */
export const picked = (field) => (isPicker(field) ? chips(field).map((chip) => chip.dataset.id).join(",") : null);

/** @param {Element} field a picker, filled in again @param {string} ids as `picked` gave them */
export function refill(field, ids) {
  if (!isPicker(field)) return;
  field.value = ids;
  take(field);
}

/** @param {HTMLInputElement} field @returns {Choice[]} */
function choices(field) {
  const all = [...(field.list?.options ?? [])].map(({ value: label, dataset: { id = label } }) => ({ id, label, name: label.replace(` (${id})`, "") }));
  const many = /** @type {Map<string, number>} */ (new Map());
  for (const { name } of all) many.set(name, (many.get(name) ?? 0) + 1);
  return all.map((choice) => (many.get(choice.name) === 1 ? choice : { ...choice, name: choice.label }));
}

/** By what a person may write for it; null where two answer to the same. @param {HTMLInputElement} field */
function index(field) {
  const found = /** @type {Map<string, Choice | null>} */ (new Map());
  for (const choice of choices(field)) {
    for (const said of new Set([choice.id, choice.label, choice.name].map(folded))) found.set(said, found.has(said) ? null : choice);
  }
  return found;
}

/** Those in whose label each of these words stands. @param {HTMLInputElement} field @param {string} text */
function near(field, text) {
  const words = folded(text).split(/[\s,]+/);
  return choices(field).filter(({ label }) => words.every((word) => folded(label).includes(word)));
}

/**
 * @param {HTMLInputElement} field @param {string} piece a label, a name, ids @param {Map<string, Choice | null>} known
 * @param {boolean} guessing a part of one name is enough where any code may be written, too @returns {[Choice[], string[]]} what is known of it, and what is not
 */
function read(field, piece, known, guessing) {
  const whole = known.get(folded(piece));
  if (whole) return [[whole], []];
  const taken = /** @type {Choice[]} */ ([]);
  const left = /** @type {string[]} */ ([]);
  for (const part of field.dataset.pick === "many" ? parts(piece, ",") : []) {
    const words = part.split(/\s+/);
    const ids = words.flatMap((word) => known.get(folded(word)) ?? []);
    if (ids.length === words.length) taken.push(...ids);
    else left.push(part);
  }
  if (taken.length) return [taken, left];
  const isCode = field.dataset.open !== undefined && !/\s/.test(piece);
  const meant = guessing || !isCode ? near(field, piece) : [];
  if (meant.length === 1) return [meant, []];
  if (isCode) return [[{ id: piece, label: piece, name: piece }], []];
  return [[], [piece]];
}

/** @param {string} text @param {string} between */
const parts = (text, between) => text.split(between).map((part) => part.trim()).filter(Boolean);

/** What is written becomes chips; what cannot stays, and the field says why. @param {HTMLInputElement} field @param {boolean} [guessing] */
function take(field, guessing = false) {
  if (!field.value.trim()) return;
  const known = index(field);
  const found = parts(field.value, field.dataset.pick === "many" ? ";" : "\n").map((piece) => read(field, piece, known, guessing));
  const taken = found.flatMap(([choices]) => choices);
  const left = found.flatMap(([, rest]) => rest);
  for (const choice of taken) add(field, choice);
  field.value = left.join("; ");
  const meant = left.length ? near(field, left[0]) : [];
  if (!left.length) say(field, "added", names(taken));
  else if (meant.length) say(field, "vague", field.value, names(meant));
  else say(field, "unknown", field.value);
}

/** @param {Choice[]} of */
const names = (of) => of.slice(0, NAMED).map(({ name }) => name).join(" / ") + (of.length > NAMED ? "…" : "");

/** @param {HTMLInputElement} field @param {Choice} choice */
function add(field, { id, name }) {
  if (field.dataset.pick === "one") list(field).replaceChildren();
  if (chips(field).some((chip) => chip.dataset.id === id)) return;
  const blank = /** @type {HTMLTemplateElement} */ (field.nextElementSibling);
  const chip = /** @type {HTMLElement} */ (blank.content.firstElementChild?.cloneNode(true));
  chip.dataset.id = chip.title = id;
  for (const part of chip.querySelectorAll("[data-name]")) part.textContent = name;
  list(field).append(chip);
  changed(field);
}

/** @param {HTMLInputElement} field @param {Element} chip */
function remove(field, chip) {
  chip.remove();
  changed(field);
  if (!field.value) say(field, "removed", chip.querySelector("[data-name]")?.textContent ?? "");
}

/** After a chip came or went. @param {HTMLInputElement} field */
function changed(field) {
  list(field).hidden = !chips(field).length;
  field.required = list(field).hidden && field.dataset.required !== undefined;
}

/** What is refused stands beside the field; what was done is told to who cannot see it. @param {HTMLInputElement} field @param {string} form @param {string[]} words */
function say(field, form, ...[what = "", names = ""]) {
  const said = /** @type {HTMLElement} */ (field.parentElement?.nextElementSibling);
  const text = (said.dataset[form] ?? "").replace("{n}", String(chips(field).length)).replace("{names}", () => names).replace("{what}", () => what);
  const refused = form === "vague" || form === "unknown";
  if (said.textContent !== text) said.textContent = text;
  said.className = refused ? "answer refused" : "vh";
  field.setCustomValidity(refused ? text : "");
  field.setAttribute("aria-invalid", String(refused));
}

/** @param {KeyboardEvent} event */
function press(event) {
  const field = event.target;
  if (!isPicker(field) || event.isComposing) return;
  if (event.key === "Enter" && field.value.trim()) {
    event.preventDefault();
    take(field, true);
  } else if (event.key === "Tab") take(field);
  else if (event.key === "Backspace" && !field.value && !event.repeat) {
    const last = chips(field).at(-1);
    if (last) remove(field, last);
  }
}

/** @param {MouseEvent} event */
function click({ target }) {
  // not already when the field is left: what grows then moves the button that is being pressed
  for (const field of document.querySelectorAll("[data-pick]")) if (isPicker(field) && field !== document.activeElement) take(field);
  const chip = target instanceof Element && target.closest("button") ? target.closest(".picker li") : null;
  const field = chip?.parentElement?.nextElementSibling ?? null;
  if (!chip || !isPicker(field)) return;
  const next = (chip.nextElementSibling ?? chip.previousElementSibling)?.querySelector("button") ?? field;
  remove(field, chip);
  next.focus();
}

/** A whole label is a suggestion that was taken. @param {Event} event */
function write({ target: field }) {
  if (!isPicker(field)) return;
  if (choices(field).some(({ label }) => label === field.value)) take(field);
  else say(field, "");
}

/** @param {EventTarget | null} form */
const pickers = (form) => (form instanceof HTMLFormElement ? [...form.elements] : []).filter(isPicker);

/** @param {Event} event */
function submit(event) {
  for (const field of pickers(event.target)) {
    take(field);
    if (field.reportValidity()) continue;
    event.preventDefault();
    event.stopPropagation();
  }
}

/** @param {Event} event */
function reset({ target }) {
  for (const field of pickers(target)) {
    list(field).replaceChildren();
    changed(field);
    say(field, "");
  }
}

export function start() {
  document.addEventListener("keydown", press);
  document.addEventListener("input", write);
  document.addEventListener("click", click, true);
  document.addEventListener("submit", submit, true);
  document.addEventListener("reset", reset);
}

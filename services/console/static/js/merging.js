// A form that somebody else has saved meanwhile. What is written here stays, what they saved stands below its field, and the next sending
// is about the new state: the person has seen what it replaces.

import { decidedSince } from "./drafts.js";
import { pictured } from "./live.js";

/** @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Field */

const TIMEOUT_MS = 15000;
/** When each form was brought up to date, ms; the others are as old as the page. @type {WeakMap<HTMLFormElement, number>} */
const readAt = new WeakMap();
const loadedAt = Number(document.documentElement.dataset.reached);

/** @param {Element} element @returns {element is Field} */
const isField = (element) => element instanceof HTMLInputElement || element instanceof HTMLSelectElement || element instanceof HTMLTextAreaElement;

/** @param {Field} field @returns {field is HTMLInputElement} */
const checkable = (field) => field instanceof HTMLInputElement && (field.type === "checkbox" || field.type === "radio");

/** @param {HTMLSelectElement} select */
const firstOption = (select) => [...select.options].find((option) => option.defaultSelected) ?? select.options[0];

/** @param {Field} field @returns {string} as the server gave it */
function initial(field) {
  if (field instanceof HTMLSelectElement) return firstOption(field)?.value ?? "";
  return checkable(field) ? String(field.defaultChecked) : field.defaultValue;
}

/** @param {Field} field */
const current = (field) => (checkable(field) ? String(field.checked) : field.value);

/** @param {Field} field @param {string} value */
function setCurrent(field, value) {
  if (checkable(field)) field.checked = value === "true";
  else field.value = value;
}

/** @param {Field} field @param {string} value as the server gives it now; what is written stays */
function setInitial(field, value) {
  const written = current(field);
  if (field instanceof HTMLSelectElement) for (const option of field.options) option.defaultSelected = option.value === value;
  else if (checkable(field)) field.defaultChecked = value === "true";
  else field.defaultValue = value;
  setCurrent(field, written);
}

/** @param {Field} field @returns {string} its initial value in words */
function told(field) {
  if (field instanceof HTMLSelectElement) return (firstOption(field)?.textContent ?? "").trim();
  return checkable(field) ? (field.defaultChecked ? "☑" : "☐") : field.defaultValue;
}

/** @param {HTMLFormElement} form @returns {Map<string, Field>} fields by their name and place, boxes by their value */
function named(form) {
  const places = /** @type {Map<string, number>} */ (new Map());
  const fields = /** @type {Map<string, Field>} */ (new Map());
  for (const field of form.elements) {
    if (!isField(field) || !field.name || field.type === "file" || field.type === "password") continue;
    const place = places.get(field.name) ?? 0;
    places.set(field.name, place + 1);
    fields.set(`${field.name} ${checkable(field) ? field.value : place}`, field);
  }
  return fields;
}

/** @param {Field} field @param {string} text that was saved meanwhile */
function note(field, text) {
  const id = `theirs-${field.id || field.name}`;
  document.getElementById(id)?.remove();
  const line = document.createElement("p");
  line.id = id;
  line.className = "sub words";
  line.dataset.theirs = "";
  line.textContent = `${document.documentElement.dataset.saved ?? ""} ${text || "–"}`;
  (checkable(field) ? field.closest("label") ?? field : field).after(line);
}

/** @param {HTMLFormElement} form @param {HTMLFormElement} fresh the same form as the server renders it now @returns {boolean} a field was changed by both */
function merge(form, fresh) {
  const theirs = named(fresh);
  let both = false;
  for (const [name, field] of named(form)) {
    const other = theirs.get(name);
    if (!other) continue;
    if (field.type === "hidden") {
      field.value = other.value;
      continue;
    }
    const isWritten = current(field) !== initial(field);
    if (initial(field) === initial(other)) continue;
    setInitial(field, initial(other));
    if (!isWritten) setCurrent(field, initial(other));
    else if (current(field) !== initial(other)) {
      note(field, told(other));
      both = true;
    }
  }
  if (fresh.dataset.version !== undefined) form.dataset.version = fresh.dataset.version;
  return both;
}

/** @param {HTMLFormElement} form @returns {Promise<HTMLFormElement | undefined>} nothing when the page no longer has it, or cannot be had */
async function freshOf(form) {
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!answer.ok) return undefined;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const forms = /** @type {NodeListOf<HTMLFormElement>} */ (page.querySelectorAll("form[data-command]"));
    return [...forms].find((other) => other.getAttribute("action") === form.getAttribute("action"));
  } catch {
    return undefined;
  }
}

/** @param {HTMLFormElement} form @returns {Promise<string>} who decided what meanwhile, and what becomes of what is written; "" when nothing can be said */
export async function overtaken(form) {
  const since = readAt.get(form) ?? loadedAt;
  const [fresh, lines] = await Promise.all([freshOf(form), decidedSince(since)]);
  const both = fresh !== undefined && merge(form, fresh);
  if (fresh !== undefined) readAt.set(form, pictured());
  return [...(fresh?.dataset.last ? [fresh.dataset.last] : lines), both ? document.documentElement.dataset.both ?? "" : ""].filter(Boolean).join(" · ");
}

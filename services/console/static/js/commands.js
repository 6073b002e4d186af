// Decisions: every form with `data-command` becomes one JSON request with its own idempotency key. The answer stands
// beside the button, in words; a success needs none, the page shows its effect.

import { refresh } from "./live.js";
import { freshKey, post } from "./post.js";

/** @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Field */

/** @param {Element} element @returns {element is Field} */
const isField = (element) => element instanceof HTMLInputElement || element instanceof HTMLSelectElement || element instanceof HTMLTextAreaElement;

/** `remarks.essential` is a part of `remarks`. @param {Field} field @returns {string | number | boolean | string[] | null} as the API wants it */
function value(field) {
  switch (field.dataset.type) {
    case "number":
      return Number(field.value);
    case "boolean":
      return field.value === "true";
    case "null":
      return null;
    case "list":
      return field.value.split(/[\s,]+/).filter(Boolean);
    case "instant":
      return new Date(field.value).toISOString();
    default:
      return field.value.trim();
  }
}

/** @param {HTMLFormElement} form @param {HTMLElement | null} submitter a button may have an address of its own (`formaction`) */
async function send(form, submitter) {
  const said = document.getElementById(form.dataset.said ?? "");
  const body = /** @type {Record<string, unknown>} */ ({});
  let realm = "";
  for (const field of form.querySelectorAll("input[name], select[name], textarea[name]")) {
    if (!isField(field) || field.value.trim() === "") continue;
    if (field instanceof HTMLInputElement && field.type === "checkbox" && !field.checked) continue;
    const [name, part] = field.name.split(".");
    if (name === "realm") realm = field.value;
    else if (part) body[name] = { ...(/** @type {object} */ (body[name] ?? {})), [part]: value(field) };
    else if (field.dataset.type === "list") body[name] = [.../** @type {string[]} */ (body[name] ?? []), .../** @type {string[]} */ (value(field))];
    else body[name] = value(field);
  }
  const headers = /** @type {Record<string, string>} */ ({ "Idempotency-Key": (form.dataset.key ??= freshKey()) });
  if (form.dataset.version !== undefined) headers["If-Match"] = `"${form.dataset.version}"`;
  const button = submitter instanceof HTMLButtonElement ? submitter : form.querySelector("button");
  const action = submitter?.getAttribute("formaction") ?? form.getAttribute("action");
  if (button) button.disabled = true;
  form.setAttribute("aria-busy", "true");
  const file = form.querySelector("input[type=file]");
  const sent = file instanceof HTMLInputElement ? file.files?.[0] : undefined;
  const asked = new URLSearchParams(realm ? { realm } : {});
  if (sent) {
    // the file is the body; the other fields go into the address
    for (const [name, given] of Object.entries(body)) asked.set(name, String(given));
    asked.set("calendar", sent.name.replace(/\.[^.]*$/, "").slice(0, 64));
  }
  const { ok, status, data } = await post(action + (asked.size ? `?${asked}` : ""), sent ?? body, sent ? { ...headers, "Content-Type": "text/calendar" } : headers, form.dataset.method);
  form.removeAttribute("aria-busy");
  if (button) button.disabled = false;
  if (said) {
    const shown = form.dataset.show ? `${form.dataset.shown ?? ""} ${data[form.dataset.show] ?? ""}` : "";
    const text = ok ? shown : status === 0 ? html().dataset.away ?? "" : data.detail ?? data.title ?? String(status);
    if (said.textContent !== text) said.textContent = text;
    said.classList.toggle("refused", !ok);
  }
  if (status !== 0) delete form.dataset.key;
  if (!ok) return;
  if (form.dataset.clear !== undefined) form.reset();
  form.closest("details")?.removeAttribute("open");
  const name = encodeURIComponent(data.realm ?? "");
  if (form.dataset.then) await setGoing(form, form.dataset.then.replace("{name}", name));
  if (form.dataset.go) location.assign(form.dataset.go.replace("{name}", name).replace("{number}", String(data.result?.number ?? "")));
  else refresh();
}

/** A new exercise stands still until it is told how far its clock may run. @param {HTMLFormElement} form @param {string} url */
async function setGoing(form, url) {
  const hours = form.querySelector("[data-then-minutes]");
  const minutes = (hours instanceof HTMLInputElement ? Number(hours.value) : 0) * 60;
  if (minutes > 0) await post(url, { minutes }, { "Idempotency-Key": freshKey(), Prefer: "wait=0" });
}

const html = () => document.documentElement;

export function start() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || form.dataset.command === undefined) return;
    event.preventDefault();
    if (!form.hasAttribute("aria-busy")) send(form, event.submitter);
  });
}

// Decisions: every form with `data-command` becomes one JSON request with its own idempotency key. The answer stands
// beside the button, in words; a success needs none, the page shows its effect (`data-shown` says it where it does not).

import { confirmed } from "./confirming.js";
import { refused, settled } from "./drafts.js";
import { announce, onRefresh, pictured, refresh, refreshed } from "./live.js";
import { looked } from "./look.js";
import { smaller } from "./photo.js";
import { picked } from "./picker.js";
import { freshKey, get, keptMap, post } from "./post.js";

/** @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Field */

/** @param {Element} element @returns {element is Field} */
const isField = (element) => element instanceof HTMLInputElement || element instanceof HTMLSelectElement || element instanceof HTMLTextAreaElement;

const PARIS = new Intl.DateTimeFormat("sv-SE", { timeZone: "Europe/Paris", dateStyle: "short", timeStyle: "medium" });

const MOST_AHEAD_MS = 2 * 3600000;
/** Nobody knows whether it was decided: the same request again is the same decision. */
const UNANSWERED = new Set([0, 202, 502, 503, 504]);
const DECIDED_WITHIN_MS = 60000;
/** Codes of refusals that mean: it is no longer what the form shows. */
const OVERTAKEN = new Set(["version_conflict", "record_changed", "record_proposed", "sitrep_number"]);
/** Idempotency keys of requests without an answer, by what was asked: a refresh may make the form anew meanwhile, and a reload the page. @type {Map<string, string>} */
const keys = keptMap("vigie_keys");

/**
 * Every time on a page is one of Paris, wherever its reader is. @param {string} wall `2027-02-11T09:40`
 * @returns {Date} the first of the two in the night that has an hour twice; an hour that a night lacks is read as the next
 */
function ofParis(wall) {
  const wanted = Date.parse(`${wall}Z`);
  const before = wanted - MOST_AHEAD_MS;
  return new Date(wanted - (Date.parse(`${PARIS.format(before).replace(" ", "T")}Z`) - before));
}

/** @param {Field} field @returns {string} what is written or picked in it */
const given = (field) => (picked(field) ?? field.value).trim();

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
      return given(field).split(/[\s,]+/).filter(Boolean);
    case "lines":
      return given(field).split("\n").map((line) => line.trim()).filter(Boolean);
    case "instant":
      return ofParis(field.value).toISOString();
    default:
      return given(field);
  }
}

/** Several fields of one list are one list. @param {Record<string, unknown>} parts @param {string} part @param {Field} field */
function joined(parts, part, field) {
  const before = field.dataset.type === "list" ? /** @type {string[]} */ (parts[part] ?? []) : [];
  return { ...parts, [part]: field.dataset.type === "list" ? [...before, .../** @type {string[]} */ (value(field))] : value(field) };
}

/** @param {HTMLFormElement} form @param {HTMLElement | null} submitter a button may have an address (`formaction`) and a body (`data-body`) of its own */
async function send(form, submitter) {
  const said = document.getElementById(form.dataset.said ?? "");
  const body = /** @type {Record<string, unknown>} */ (JSON.parse(submitter?.dataset.body ?? form.dataset.body ?? "{}"));
  let realm = "";
  for (const field of form.elements) {
    // an emptied field with `data-empty` is sent, others are left out
    if (!isField(field) || !field.name || field.dataset.type === "photo" || (given(field) === "" && field.dataset.empty === undefined)) continue;
    if (field instanceof HTMLInputElement && field.type === "checkbox" && !field.checked) continue;
    const [name, part] = field.name.split(".");
    if (name === "realm") realm = field.value;
    else if (part) body[name] = joined(/** @type {Record<string, unknown>} */ (body[name] ?? {}), part, field);
    else if (field.dataset.type === "list") body[name] = [.../** @type {string[]} */ (body[name] ?? []), .../** @type {string[]} */ (value(field))];
    else body[name] = value(field);
  }
  const headers = /** @type {Record<string, string>} */ ({});
  if (form.dataset.version !== undefined) headers["If-Match"] = `"${form.dataset.version}"`;
  const since = pictured();
  const button = submitter instanceof HTMLButtonElement ? submitter : /** @type {HTMLButtonElement | null} */ (form.querySelector("button:not([type=button])"));
  const action = submitter?.getAttribute("formaction") ?? form.getAttribute("action");
  const pressed = button !== null && document.activeElement === button;
  if (button) button.disabled = true; // the browser takes the focus from it
  form.setAttribute("aria-busy", "true");
  const refusal = await addPhoto(form, body, realm);
  if (refusal !== null) {
    form.removeAttribute("aria-busy");
    if (button) button.disabled = false;
    if (said) said.textContent = refusal;
    said?.classList.add("refused");
    reveal(said);
    return;
  }
  const file = form.querySelector("input[type=file]:not([data-type=photo])");
  const sent = file instanceof HTMLInputElement ? file.files?.[0] : undefined;
  const asked = new URLSearchParams(realm ? { realm } : {});
  if (sent) {
    // the file is the body; the other fields go into the address
    for (const [name, given] of Object.entries(body)) asked.set(name, String(given));
    if (form.dataset.content === undefined) asked.set("calendar", sent.name.replace(/\.[^.]*$/, "").slice(0, 64));
  }
  const request = [action, asked, JSON.stringify(body), sent?.size].join(" ");
  if (!keys.has(request)) keys.set(request, freshKey());
  headers["Idempotency-Key"] = keys.get(request) ?? "";
  const first = await post(action + (asked.size ? `?${asked}` : ""), sent ?? body, sent ? { ...headers, "Content-Type": form.dataset.content ?? "text/calendar" } : headers, form.dataset.method);
  // a report is kept once it is accepted: there is no decision to wait for
  const waits = first.status === 202 && first.data.report_id === undefined;
  if (waits && said) said.textContent = html().dataset.pending ?? "";
  const { ok, status, data } = waits ? await decided(first) : { ...first, status: first.status === 202 ? 200 : first.status };
  form.removeAttribute("aria-busy");
  if (button) button.disabled = false;
  if (pressed && document.activeElement === document.body) button.focus({ preventScroll: true });
  const shown = `${submitter?.dataset.shown ?? form.dataset.shown ?? ""} ${form.dataset.show ? data[form.dataset.show] ?? "" : ""}`.trim();
  const text = status === 202 ? html().dataset.undecided ?? "" : ok ? shown : status === 0 ? html().dataset.away ?? "" : status === 401 ? html().dataset.ended ?? "" : faulty(form, data) ?? data.detail ?? data.title ?? String(status);
  if (said) {
    if (said.textContent !== text) said.textContent = text;
    said.classList.toggle("refused", !ok);
    reveal(said);
  }
  if (status === 401) refresh(); // the page says it, too, and leads to the login
  if (!UNANSWERED.has(status)) keys.delete(request);
  if (!ok && !form.isConnected) refused(form, text, since);
  const news = OVERTAKEN.has(data.code ?? "") && form.isConnected ? await catchUp(form) : "";
  if (news && said) said.textContent = `${text} ${news}`;
  if (!ok || status === 202) return;
  latest = said;
  settled(form);
  if (form.dataset.clear === undefined && form.dataset.version !== undefined) adopt(form);
  else if (form.dataset.clear !== undefined) form.reset();
  const fold = form.closest("details:not(.fold)");
  if (fold?.contains(document.activeElement)) fold.querySelector("summary")?.focus({ preventScroll: true });
  fold?.removeAttribute("open");
  const name = encodeURIComponent(data.realm ?? "");
  if (form.dataset.then) await setGoing(form, form.dataset.then.replace("{name}", name));
  if (form.dataset.go) location.assign(form.dataset.go.replace("{name}", name).replace("{number}", String(data.result?.number ?? "")));
  else if (shown || form.dataset.clear !== undefined) refresh();
  else showEffect(fold ?? form);
}

/** A decision without an answer in words looks under way until the page shows its effect, or another one is written: nobody takes it twice. @param {Element} part */
async function showEffect(part) {
  const free = () => part.removeAttribute("data-taken");
  part.setAttribute("data-taken", "");
  part.addEventListener("input", free, { once: true });
  announce(html().dataset.done ?? "");
  await refreshed();
  free();
  part.removeEventListener("input", free);
}

/** What was saved is the state from which the next person, or the same, begins: a refresh may renew it then. @param {HTMLFormElement} form */
function adopt(form) {
  for (const field of form.elements) {
    if (field instanceof HTMLSelectElement) for (const option of field.options) option.defaultSelected = option.selected;
    else if (field instanceof HTMLInputElement && (field.type === "checkbox" || field.type === "radio")) field.defaultChecked = field.checked;
    else if (isField(field) && field.type !== "file") field.defaultValue = field.value;
  }
  form.reset();
}

/** Few forms are overtaken: what helps then is fetched then. @param {HTMLFormElement} form @returns {Promise<string>} who decided what meanwhile */
async function catchUp(form) {
  try {
    return await (await import("./merging.js")).overtaken(form);
  } catch {
    return "";
  }
}

/**
 * A photo goes first, and the decision names it; the same photo again is the same one.
 * @param {HTMLFormElement} form @param {Record<string, unknown>} body @param {string} realm @returns {Promise<string | null>} why not, in words
 */
async function addPhoto(form, body, realm) {
  const field = form.querySelector("input[data-type=photo]");
  const file = field instanceof HTMLInputElement ? field.files?.[0] : undefined;
  if (!(field instanceof HTMLInputElement) || !file) return null;
  const photo = await smaller(file);
  if (photo === null) return field.dataset.unread ?? "";
  const { ok, status, data } = await post(`/api/v1/attachments${realm ? `?realm=${encodeURIComponent(realm)}` : ""}`, photo);
  if (!ok) return status === 0 ? html().dataset.away ?? "" : data.detail ?? data.title ?? String(status);
  const [name, part] = field.name.split(".");
  body[name] = { .../** @type {Record<string, unknown>} */ (body[name] ?? {}), [part]: data.id };
  return null;
}

/**
 * The first field that the server did not take, by its label: the API's name of it says nothing to who fills in a form. It has the focus then.
 * @param {HTMLFormElement} form @param {any} data @returns {string | undefined} nothing when no field of this form is at fault
 */
function faulty(form, data) {
  const [fault] = data.errors ?? [];
  const path = String(fault?.field ?? "");
  const named = form.elements.namedItem(path) ?? form.elements.namedItem(path.split(".")[0]);
  const field = named instanceof RadioNodeList ? named[0] : named;
  if (!(field instanceof Element) || !isField(field)) return undefined;
  const label = field.type === "checkbox" || field.type === "radio" ? field.closest("fieldset")?.querySelector("legend") : field.labels?.[0];
  const said = label?.firstChild?.textContent?.trim();
  if (!said) return undefined;
  field.focus();
  return `${said}${html().lang === "fr" ? "\u00a0" : ""}: ${fault.detail}`;
}

/**
 * The answer to a decision that was accepted and is still under way. @param {import("./post.js").Answer} pending
 * @returns {Promise<import("./post.js").Answer>} `pending` when there is none in time
 */
async function decided(pending) {
  const until = performance.now() + DECIDED_WITHIN_MS;
  const url = `/api/v1/commands/${encodeURIComponent(pending.data.id ?? "")}?realm=${encodeURIComponent(pending.data.realm ?? "")}`;
  while (performance.now() < until) {
    const { ok, status, data } = await get(url, { Prefer: "wait=20" });
    if (ok && data.state === "applied") return { ok, status, data };
    if (ok && data.state !== "pending") return { ok: false, status: data.status ?? 409, data };
    if (!ok) await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  return pending;
}

/** A new exercise stands still until it is told how far its clock may run. @param {HTMLFormElement} form @param {string} url */
async function setGoing(form, url) {
  const hours = form.querySelector("[data-then-minutes]");
  const minutes = (hours instanceof HTMLInputElement ? Number(hours.value) : 0) * 60;
  if (minutes > 0) await post(url, { minutes }, { "Idempotency-Key": freshKey(), Prefer: "wait=0" });
}

const html = () => document.documentElement;

/** The answer that the next refresh may move away from who waits for it. @type {HTMLElement | null} */
let latest = null;

/** An answer that stands beyond the edge of the screen is brought to it. @param {HTMLElement | null} said */
function reveal(said) {
  if (!said?.isConnected || !said.textContent) return;
  const { top, bottom } = said.getBoundingClientRect();
  if (top < 0 || bottom > innerHeight) said.scrollIntoView({ block: "center" });
}

/** Send what was confirmed, where that is asked for. @param {HTMLFormElement} form @param {HTMLElement | null} submitter */
async function ask(form, submitter) {
  form.setAttribute("aria-busy", "true");
  await looked();
  const goes = await confirmed(form);
  form.removeAttribute("aria-busy");
  if (goes) await send(form, submitter);
}

export function start() {
  onRefresh(() => {
    reveal(latest);
    latest = null;
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || form.dataset.command === undefined) return;
    event.preventDefault();
    if (event.submitter?.dataset.look !== undefined || form.hasAttribute("aria-busy") || form.closest("[data-taken]")) return;
    if (event.submitter?.hasAttribute("formaction")) send(form, event.submitter);
    else ask(form, event.submitter);
  });
}

// The report form: keeps the report on this device, then sends it, now or when the network is back. A report keeps its key, so that
// sending it twice counts once; one that is refused stays here with the reason until somebody takes it away.

import * as outbox from "./outbox.js";
import { smaller } from "./photo.js";
import { freshKey, get, keptMap, post } from "./post.js";
import { fieldsOf, fill, keepTyped } from "./typed.js";

const RETRY_MS = 10000;
/** For so long the server dates a report by how long ago it was filled in: the clock of a device may be wrong. */
const MAX_WAIT_MS = 72 * 3600000;
/** So often, a second apart, the page asks what became of a word that something is over. */
const ASKED_TIMES = 10;
/** Before the address of a page that was left with a report in it; the login page leaves it here, for its account alone. */
const TYPED = "report_typed ";
const form = /** @type {HTMLFormElement} */ (document.getElementById("report"));
const said = /** @type {HTMLElement} */ (document.getElementById("said"));
const button = /** @type {HTMLButtonElement} */ (document.getElementById("send"));

/** How far the clock of the realm is before this device's: none, but in an exercise. */
let ahead = form.dataset.now ? Date.parse(form.dataset.now) - Date.now() : 0;
const now = () => new Date(Date.now() + ahead).toISOString();

/** @param {number} ms @returns {string} `10:16` in Paris */
const time = (ms) => new Date(ms).toLocaleTimeString("fr-FR", { timeZone: "Europe/Paris", hour: "2-digit", minute: "2-digit" });

/** The clock of a device may be wrong: the server's says when it came, and that of an exercise there. @param {string} said with the places `{at}` and `{id}` @param {any} data the server's receipt @param {number} [at] */
const receipt = (said, data, at) => said.replace("{at}", time(form.dataset.now ? Date.now() + ahead : at ?? Date.now())).replace("{id}", String(data.report_id ?? "").slice(0, 8));

/** @typedef {import("./outbox.js").Waiting} Waiting */

/** @param {Waiting} report @returns {string} what it says, where and since when, as its sender knows it */
const named = ({ what, label, at }) => (document.getElementById("queue")?.dataset.line ?? "{site}").replace("{what}", what ?? "").replace("{site}", label).replace("{at}", time(at + ahead)).replace(/^, /, "");

/** Why the account that is logged in here cannot send what another wrote, by key; asked anew each time the page is seen. @type {Map<string, string>} */
const strange = new Map();

/** Shows what waits, and what was refused. */
async function show() {
  const reports = await outbox.all().catch(() => []);
  const waiting = reports.filter((r) => !r.refused && !strange.has(r.key));
  const band = /** @type {HTMLElement} */ (document.getElementById("queue"));
  band.hidden = waiting.length === 0;
  const count = waiting.length === 1 ? band.dataset.one : (band.dataset.many ?? "").replace("{n}", String(waiting.length));
  const strong = document.createElement("b");
  strong.textContent = count ?? "";
  const lines = document.createElement("ul");
  lines.replaceChildren(...waiting.map((report) => Object.assign(document.createElement("li"), { textContent: named(report) })));
  band.replaceChildren(strong, ` ${band.dataset.why ?? ""}`, lines);
  const list = /** @type {HTMLElement} */ (document.getElementById("refusals"));
  const refused = reports.filter((r) => r.refused || strange.has(r.key));
  list.hidden = refused.length === 0;
  list.replaceChildren(...refused.map(refusal));
}

/** @param {Waiting} report */
function refusal(report) {
  const item = document.createElement("li");
  const text = document.createElement("span");
  const sentence = typeof report.body.description === "string" ? ` « ${report.body.description} »` : "";
  const why = strange.get(report.key);
  const reason = why ?? (form.dataset.refused ?? "{why}").replace("{why}", report.refused ?? "");
  text.textContent = `${named(report)}${sentence} : ${reason}`;
  const take = document.createElement("button");
  take.type = "button";
  take.className = "btn s";
  take.textContent = form.dataset.forget ?? "";
  take.addEventListener("click", async () => {
    await outbox.forget(report.key);
    await show();
  });
  item.append(text, " ", take);
  if (why !== undefined) item.insertBefore(inOwnName(report), take);
  return item;
}

/** Another person sends what was written here before, and answers for it. @param {Waiting} report */
function inOwnName(report) {
  const { by: _, ...own } = report;
  const adopt = Object.assign(document.createElement("button"), { type: "button", className: "btn s", textContent: form.dataset.adopt ?? "" });
  adopt.addEventListener("click", async () => {
    await outbox.keep(own);
    strange.delete(report.key);
    await flush();
  });
  return adopt;
}

/** @param {string} text @param {boolean} [refused] */
function say(text, refused = false) {
  said.textContent = text;
  said.classList.toggle("refused", refused);
}

/** @param {string} name @returns {HTMLInputElement | null} */
function picked(name) {
  return form.querySelector(`[name=${name}]:checked`);
}

/** @returns {string | null} the site's id, from the list or typed as it is */
function siteId() {
  const field = /** @type {HTMLInputElement} */ (document.getElementById("site"));
  for (const option of document.querySelectorAll("#sites option")) {
    const id = option.getAttribute("data-id");
    if (option.getAttribute("value") === field.value || id === field.value.trim()) return id;
  }
  return null;
}

/** What has no button of its own calls people only as a closure: an `info` is read, and rings nobody. @param {boolean} danger @returns {string | undefined} */
function typeOf(danger) {
  const { type, asks } = picked("trouble")?.dataset ?? {};
  const going = picked("going")?.value;
  if (!asks || (going === "yes" && !danger)) return type;
  return going === "no" ? "closure" : "partial_closure";
}

/** @param {string | null} site @returns {Record<string, unknown>} */
function body(site) {
  const going = picked("going");
  const danger = picked("danger")?.value === "yes";
  const lost = Number(going?.dataset.lost ?? 0);
  const report = /** @type {Record<string, unknown>} */ ({
    site_id: site,
    type: typeOf(danger),
    severity: Math.max(Number(going?.dataset.severity ?? 2), danger ? Number(picked("danger")?.dataset.severity) : 0),
    occurred_at: now(),
  });
  if (lost > 0) report.capacity_lost_pct = lost;
  if (danger) report.urgency = "Immediate";
  return report;
}

/** @param {Record<string, unknown>} report @param {string} text */
function addressed(report, text) {
  if (form.dataset.realm) report.realm = form.dataset.realm;
  if (text) report.description = text;
  return report;
}

/** Nobody answers, or not now: the report goes on waiting. @param {number} status */
const away = (status) => status === 0 || status >= 500 || status === 429;

/** @typedef {"told" | "away" | "login"} Outcome `away`: nobody answers; `login`: the session is over */

/** @returns {Outcome} */
function loginFirst() {
  say(form.dataset.login ?? "", true);
  return "login";
}

/** The photo goes first; a report that loses its photo to a refusal still counts. @param {Waiting} one @returns {Promise<Waiting | Outcome>} */
async function withPhoto(one) {
  if (!one.photo) return one;
  const { realm } = one.body;
  const query = typeof realm === "string" ? `?${new URLSearchParams({ realm })}` : "";
  const { ok, status, data } = await post(`/api/v1/attachments${query}`, one.photo);
  if (status === 401) return loginFirst();
  if (away(status)) return "away";
  const { photo: _, ...rest } = one;
  const sent = ok ? { ...rest, body: { ...one.body, attachments: [data.id] } } : { ...rest, photoless: true };
  await outbox.keep(sent);
  return sent;
}

/** @param {Waiting} waiting @returns {Promise<Outcome>} */
async function send(waiting) {
  const one = await withPhoto(waiting);
  if (typeof one === "string") return one;
  const headers = /** @type {Record<string, string>} */ ({ "Idempotency-Key": one.key });
  if (one.token) headers["X-Token"] = one.token;
  if (one.by) headers["Vigie-Written-By"] = encodeURIComponent(one.by);
  const ago = Date.now() - one.at;
  if (ago >= 0 && ago < MAX_WAIT_MS) headers["Vigie-Filled-Ago"] = String(ago);
  const { ok, status, data, at } = await post(one.to, one.body, headers);
  if (ok) {
    const sent = receipt(form.dataset.sent ?? "", data, at);
    receipts.push(one.photoless ? `${sent} ${form.dataset.photoless}` : sent);
    say(receipts.join(" "));
    await outbox.forget(one.key);
    if (one.body.type === "reopening" && !one.token) tellIfOlder(one, String(data.report_id));
  } else if (status === 401 && !one.token) {
    return loginFirst();
  } else if (away(status)) {
    return "away";
  } else if (one.by && ["other_author", "forbidden"].includes(data.code)) {
    strange.set(one.key, data.detail);
  } else {
    const why = status === 401 ? form.dataset.poster ?? "" : data.detail ?? String(status);
    await outbox.keep({ ...one, refused: why });
    say((form.dataset.refused ?? "{why}").replace("{why}", why), true);
  }
  await show();
  return "told";
}

/** A word that something is over lifts nothing where an alert is newer, or nothing is open: its sender is told. @param {Waiting} one @param {string} id */
async function tellIfOlder(one, id) {
  const realm = typeof one.body.realm === "string" ? `?${new URLSearchParams({ realm: one.body.realm })}` : "";
  for (let asked = 0; asked < ASKED_TIMES; asked += 1) {
    const { ok, data } = await get(`/api/v1/reports/${encodeURIComponent(id)}${realm}`);
    if (ok && data.newer_alert_at) say((form.dataset.older ?? "").replace("{at}", time(Date.parse(data.newer_alert_at))), true);
    else if (ok && data.flags?.includes("lifts_nothing")) say(form.dataset.nothing ?? "", true);
    if (!ok || data.state !== "received") return;
    await new Promise((next) => setTimeout(next, 1000));
  }
}

let sending = false;
/** Of all that left together: each keeps its number. @type {string[]} */
let receipts = [];

/** Each that waits, the oldest first; one that needs a login keeps none behind it from going. */
async function flush() {
  if (sending) return;
  sending = true;
  receipts = [];
  /** @type {Set<string>} */
  const tried = new Set();
  const next = async () => (await outbox.all()).find((r) => !r.refused && !tried.has(r.key) && !strange.has(r.key));
  try {
    for (let one = await next(); one; one = await next()) {
      tried.add(one.key);
      if ((await send(one)) === "away") return;
    }
  } finally {
    sending = false;
  }
}

/** @param {Record<string, unknown>} report @param {string} what as its button says it */
async function submit(report, what) {
  const field = /** @type {HTMLInputElement} */ (document.getElementById("site"));
  button.disabled = true;
  const input = document.getElementById("photo");
  const file = input instanceof HTMLInputElement ? input.files?.[0] : null;
  const photo = file ? await smaller(file) : null;
  const to = { to: form.getAttribute("action") ?? "", ...(form.dataset.token ? { token: form.dataset.token } : {}), ...(form.dataset.account ? { by: form.dataset.account } : {}) };
  try {
    await outbox.keep({ key: freshKey(), body: report, at: Date.now(), label: field.value, what, ...to, ...(photo ? { photo } : file ? { photoless: true } : {}) });
  } catch {
    say(form.dataset.unkept ?? "", true);
    button.disabled = false;
    return;
  }
  const site = field.value;
  form.reset();
  field.value = site;
  say(form.dataset.kept ?? "");
  await show();
  button.disabled = false;
  await flush();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const { named: title, asks } = picked("trouble")?.dataset ?? {};
  const sentence = spoken();
  if (asks && !sentence) say(form.dataset.wordless ?? "", true);
  else tell(body(siteId()), words(picked("trouble")?.closest("label")), title ? [title, sentence].filter(Boolean).join(" : ") : sentence);
});

const shot = document.getElementById("photo");
const shotName = document.getElementById("photo-name");

/** What stands for the browser's own file field, which speaks the browser's language. */
function nameShot() {
  if (!(shot instanceof HTMLInputElement) || !shotName) return;
  shotName.textContent = shot.files?.[0]?.name ?? shotName.dataset.none ?? "";
}

shot?.addEventListener("change", nameShot);
form.addEventListener("reset", () => setTimeout(nameShot));

const line = /** @type {HTMLFormElement | null} */ (document.getElementById("line"));
/** Lines without an answer, as they were sent, by what was typed: the same line again counts once, another line is another report. @type {Map<string, {key: string, body: object}>} */
const lines = keptMap("vigie_lines");

/** The time of a line is that of its arrival. @param {string} text */
function lineOf(text) {
  const simulated = form.dataset.now ? { realm: form.dataset.realm } : {};
  return { key: freshKey(), body: { text, ...simulated } };
}

line?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const typed = /** @type {HTMLInputElement} */ (document.getElementById("typed"));
  const answer = /** @type {HTMLElement} */ (document.getElementById("said-line"));
  const text = typed.value;
  const sent = lines.get(text) ?? lineOf(text);
  lines.set(text, sent);
  const { ok, status, data, at } = await post("/api/v1/reports:line", sent.body, { "Idempotency-Key": sent.key });
  const refused = (line.dataset.refused ?? "{why}").replace("{why}", data.detail ?? String(status));
  answer.textContent = ok ? receipt(line.dataset.sent ?? "", data, at) : away(status) ? (line.dataset.away ?? "") : refused;
  answer.classList.toggle("refused", !ok);
  if (!away(status)) lines.delete(text);
  if (ok && typed.value === text) typed.value = "";
});

/** @returns {string} the sentence of field 5 */
const spoken = () => /** @type {HTMLTextAreaElement} */ (document.getElementById("sentence")).value.trim();

/** @param {Record<string, unknown>} report @param {string} what as its button says it @param {string} sentence */
function tell(report, what, sentence = spoken()) {
  if (report.site_id) submit(addressed(report, sentence), what);
  else say(form.dataset.missing ?? "", true);
}

/** @param {Element | null | undefined} button @returns {string} what it says */
const words = (button) => button?.textContent?.trim() ?? "";

/** One press instead of fields 2 to 4. @param {Record<string, unknown>} word @param {EventTarget | null} button */
const inOne = (word, button) => tell({ site_id: siteId(), severity: 1, occurred_at: now(), ...word }, words(/** @type {Element} */ (button)));

document.getElementById("calm")?.addEventListener("click", ({ currentTarget }) => inOne({ type: "info" }, currentTarget));
document.getElementById("over")?.addEventListener("click", ({ currentTarget }) => {
  const { lifts } = /** @type {HTMLElement} */ (currentTarget).dataset;
  inOne({ type: "reopening", ...(lifts ? { lifts: [lifts] } : {}) }, currentTarget);
});

/** Without a network the form of another link may stand here: what that link chose counts no longer, and the site is the one of this address. */
function standIn() {
  const asked = new URLSearchParams(location.search);
  const rendered = new URLSearchParams(form.dataset.asked);
  if (["site", "quoi", "va", "fini"].every((name) => asked.get(name) === rendered.get(name))) return;
  const options = [...document.querySelectorAll("#sites option")];
  const one = options.find((option) => option.getAttribute("data-id") === asked.get("site")) ?? (options.length === 1 ? options[0] : null);
  const field = /** @type {HTMLInputElement} */ (document.getElementById("site"));
  field.value = field.defaultValue = one?.getAttribute("value") ?? "";
  const from = document.getElementById("site-from");
  if (from && !one) from.textContent = from.dataset.unset ?? "";
  document.getElementById("not-there")?.remove();
  for (const choice of /** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll("[type=radio]"))) choice.checked = choice.defaultChecked = choice.name === "trouble" && choice.value === asked.get("quoi");
  const over = document.getElementById("over");
  if (!over) return;
  over.dataset.lifts = "";
  over.textContent = over.dataset.any ?? "";
}

/** What was filled in and not sent stands here again, also after a login of the same account: a phone ends its browser when it likes. */
function takeUp() {
  const owner = () => form.dataset.account || form.dataset.token || "";
  const unsent = () =>
    [form, ...(line ? [line] : [])]
      .map((one) => ({ id: one.id, fields: fieldsOf(one) }))
      .filter(({ fields }) => fields.some(({ name }) => name !== "site"));
  for (const { id, fields } of keepTyped(TYPED, unsent, owner)?.lost ?? []) {
    const one = document.getElementById(id);
    if (!(one instanceof HTMLFormElement) || !fill(one, fields)) continue;
    const { said = "", resumed = "", refile = "" } = one.dataset;
    const photo = fields.some((/** @type {import("./typed.js").Given} */ { type }) => type === "file");
    const note = document.getElementById(said);
    if (note) note.textContent = photo ? `${resumed} ${refile}` : resumed;
  }
  nameShot();
}

function online() {
  button.textContent = (navigator.onLine ? button.dataset.online : button.dataset.offline) ?? "";
  if (navigator.onLine) flush();
}

/** An exercise is slowed down, sped up and stopped while the page is open. */
async function follow() {
  const { ok, data } = await get(`/api/v1/realms/${encodeURIComponent(form.dataset.realm ?? "")}`);
  if (ok) ahead = Date.parse(data.shown_clock) - Date.now();
}

/** The page opens again without a network: a worker keeps it, where the browser allows one. */
async function stayHere() {
  if (!("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register("/sw.js", { scope: "/signaler" });
    const { active } = await navigator.serviceWorker.ready;
    await document.fonts.ready;
    const assets = performance.getEntriesByType("resource").map((r) => r.name).filter((name) => new URL(name).pathname.startsWith("/static/"));
    active?.postMessage({ page: location.href, assets });
  } catch {
    // without it the page itself must stay open; what waits is kept all the same
  }
}

addEventListener("online", online);
addEventListener("offline", online);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return;
  strange.clear();
  flush();
});
setInterval(flush, RETRY_MS);
if (form.dataset.now && !form.dataset.token) setInterval(follow, RETRY_MS);
standIn();
takeUp();
show();
online();
stayHere();
// before, the browser would post what is sent as it stands
document.querySelectorAll("button:disabled").forEach((send) => send.removeAttribute("disabled"));

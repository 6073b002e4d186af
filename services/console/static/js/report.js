// The report form: sends at once, or keeps the report on this phone until the network is back. A report keeps its key, so
// that sending it twice counts once.

import { freshKey, post } from "./post.js";

const QUEUE = "vigie.reports";
const RETRY_MS = 10000;
const form = /** @type {HTMLFormElement} */ (document.getElementById("report"));
const said = /** @type {HTMLElement} */ (document.getElementById("said"));
const button = /** @type {HTMLButtonElement} */ (document.getElementById("send"));

/** @typedef {{key: string, body: Record<string, unknown>}} Waiting */

/** @returns {Waiting[]} */
function waiting() {
  try {
    return JSON.parse(localStorage.getItem(QUEUE) ?? "[]");
  } catch {
    return [];
  }
}

/** @param {Waiting[]} reports */
function keep(reports) {
  localStorage.setItem(QUEUE, JSON.stringify(reports));
  const band = document.getElementById("queue");
  if (!band) return;
  band.hidden = reports.length === 0;
  const count = reports.length === 1 ? band.dataset.one : (band.dataset.many ?? "").replace("{n}", String(reports.length));
  const strong = document.createElement("b");
  strong.textContent = count ?? "";
  band.replaceChildren(strong, ` ${band.dataset.why ?? ""}`);
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

/** @param {string} site @returns {Record<string, unknown>} */
function body(site) {
  const going = picked("going");
  const danger = picked("danger")?.value === "yes";
  const lost = Number(going?.dataset.lost ?? 0);
  const report = /** @type {Record<string, unknown>} */ ({
    site_id: site,
    type: picked("trouble")?.value,
    severity: Math.max(Number(going?.dataset.severity ?? 2), danger ? Number(picked("danger")?.dataset.severity) : 0),
    occurred_at: new Date().toISOString(),
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

/** @param {Waiting} one @returns {Promise<"sent" | "refused" | "away">} */
async function send(one) {
  const headers = /** @type {Record<string, string>} */ ({ "Idempotency-Key": one.key });
  if (form.dataset.token) headers["X-Token"] = form.dataset.token;
  const { ok, status, data } = await post(form.getAttribute("action") ?? "", one.body, headers);
  if (ok) {
    const at = new Date().toLocaleTimeString("fr-FR", { timeZone: "Europe/Paris", hour: "2-digit", minute: "2-digit" });
    say((form.dataset.sent ?? "").replace("{at}", at).replace("{id}", String(data.report_id ?? "").slice(0, 8)));
    return "sent";
  }
  if (status === 401) {
    say(form.dataset.login ?? "", true);
    return "away";
  }
  if (status === 0 || status >= 500 || status === 429) return "away";
  say((form.dataset.refused ?? "{why}").replace("{why}", data.detail ?? String(status)), true);
  return "refused";
}

let sending = false;

async function flush() {
  if (sending) return;
  sending = true;
  try {
    for (let queue = waiting(); queue.length; queue = waiting()) {
      if ((await send(queue[0])) === "away") return;
      keep(waiting().filter((r) => r.key !== queue[0].key));
    }
  } finally {
    sending = false;
  }
}

/** @param {Record<string, unknown>} report */
async function submit(report) {
  keep([...waiting(), { key: freshKey(), body: report }]);
  say(form.dataset.kept ?? "");
  button.disabled = true;
  await flush();
  button.disabled = false;
  if (waiting().length === 0 && !said.classList.contains("refused")) {
    const site = /** @type {HTMLInputElement} */ (document.getElementById("site")).value;
    form.reset();
    /** @type {HTMLInputElement} */ (document.getElementById("site")).value = site;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const site = siteId();
  if (site) submit(addressed(body(site), /** @type {HTMLTextAreaElement} */ (document.getElementById("sentence")).value.trim()));
  else say(form.dataset.missing ?? "", true);
});

const line = /** @type {HTMLFormElement | null} */ (document.getElementById("line"));
let lineKey = freshKey();

line?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const typed = /** @type {HTMLInputElement} */ (document.getElementById("typed"));
  const answer = /** @type {HTMLElement} */ (document.getElementById("said-line"));
  const body = /** @type {Record<string, unknown>} */ ({ text: typed.value });
  if (form.dataset.realm) body.realm = form.dataset.realm;
  const { ok, status, data } = await post("/api/v1/reports:line", body, { "Idempotency-Key": lineKey });
  const at = new Date().toLocaleTimeString("fr-FR", { timeZone: "Europe/Paris", hour: "2-digit", minute: "2-digit" });
  const sent = (line.dataset.sent ?? "").replace("{at}", at).replace("{id}", String(data.report_id ?? "").slice(0, 8));
  const refused = (line.dataset.refused ?? "{why}").replace("{why}", data.detail ?? String(status));
  answer.textContent = ok ? sent : status === 0 || status >= 500 ? (line.dataset.away ?? "") : refused;
  answer.classList.toggle("refused", !ok);
  if (!ok) return;
  typed.value = "";
  lineKey = freshKey();
});

document.getElementById("calm")?.addEventListener("click", () => {
  const site = siteId();
  if (site) submit(addressed({ site_id: site, type: "info", severity: 1, occurred_at: new Date().toISOString() }, ""));
  else say(form.dataset.missing ?? "", true);
});

function online() {
  button.textContent = (navigator.onLine ? button.dataset.online : button.dataset.offline) ?? "";
  if (navigator.onLine) flush();
}

addEventListener("online", online);
addEventListener("offline", online);
setInterval(() => waiting().length && flush(), RETRY_MS);
keep(waiting());
online();

// Decisions that reach many people take two steps: the totals and a question, then a few seconds in which they can be taken back.
// Nothing has left the browser before the count is over; who closes the page is warned, and nothing goes out.

import { post } from "./post.js";

const html = document.documentElement;
const STEP_MS = 1000;

/** @param {string} text @param {string} kind @returns {HTMLButtonElement} */
function button(text, kind) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = `btn s ${kind}`;
  made.textContent = text;
  return made;
}

/** Escape answers as the button that sends nothing. @param {HTMLElement} said @param {() => void} drop */
function onEscape(said, drop) {
  for (const one of said.querySelectorAll("button")) one.addEventListener("keydown", ({ key }) => key === "Escape" && drop());
}

/** What is ticked in a form. @param {HTMLFormElement} form @returns {{lines: number, agents: number, sites: number}} */
export function totals(form) {
  const ticked = [...form.querySelectorAll("input[type=checkbox][data-agents]:checked")];
  const sites = new Set(ticked.flatMap((box) => (box.getAttribute("data-sites") ?? "").split(" ").filter(Boolean)));
  const agents = ticked.reduce((sum, box) => sum + Number(box.getAttribute("data-agents")), 0);
  return { lines: ticked.length, agents, sites: sites.size };
}

/** @param {HTMLFormElement} form @returns {string} */
function question(form) {
  const { agents, sites } = totals(form);
  const number = new Intl.NumberFormat(html.lang);
  return (form.dataset.confirm ?? "").replace("{agents}", number.format(agents)).replaceAll("{sites}", number.format(sites));
}

/**
 * The decider's own look ahead, where the form names one (`data-preview`): what the decision would do now.
 * @param {HTMLFormElement} form @returns {Promise<string>} empty when it cannot be had in time: the question stands without it
 */
async function foreseen(form) {
  const { preview, foreseen: text } = form.dataset;
  if (!preview || !text) return "";
  const realm = form.elements.namedItem("realm");
  const asked = realm instanceof HTMLInputElement && realm.value ? `?realm=${encodeURIComponent(realm.value)}` : "";
  const { ok, status, data } = await post(preview + asked, {}, { Prefer: "wait=5" });
  const told = data.result;
  if (!ok || status === 202 || told?.people === undefined) return "";
  const names = /** @type {Record<string, string>} */ (JSON.parse(form.dataset.plans ?? "{}"));
  const plans = String(told.plans ?? "").split(",").filter(Boolean).map((id) => names[id] ?? id);
  const level = told.level > told.level_before ? `N${told.level_before} → N${told.level}` : `N${told.level}`;
  const said = { level, incident: `N${told.incident_level}`, people: String(told.people), plans: plans.length ? plans.join(", ") : form.dataset.noPlan ?? "" };
  return Object.entries(said).reduce((filled, [name, value]) => filled.replace(`{${name}}`, value), text);
}

/**
 * Ask, then count down. @param {HTMLFormElement} form @returns {Promise<boolean>} whether it is to be sent
 */
export async function confirmed(form) {
  const said = document.getElementById(form.dataset.said ?? "");
  if (form.dataset.confirm === undefined || !said) return true;
  if (form.dataset.none !== undefined && totals(form).lines === 0) {
    said.textContent = form.dataset.none;
    said.classList.add("refused");
    return false;
  }
  said.classList.remove("refused");
  const asked = document.activeElement instanceof HTMLElement ? document.activeElement : null;
  if (form.dataset.preview) said.textContent = html.dataset.confirmLooking ?? "";
  const ahead = await foreseen(form);
  const yes = button(html.dataset.confirmYes ?? "", "main");
  const no = button(html.dataset.confirmNo ?? "", "");
  said.replaceChildren([question(form), ahead].filter(Boolean).join(" "), " ", yes, " ", no);
  yes.focus();
  const agreed = await new Promise((resolve) => {
    yes.addEventListener("click", () => resolve(true));
    no.addEventListener("click", () => resolve(false));
    onEscape(said, () => resolve(false));
  });
  const goes = agreed && (await counted(said));
  said.textContent = goes ? "" : html.dataset.confirmDropped ?? "";
  if (!goes && asked?.isConnected) asked.focus();
  return goes;
}

/** @param {HTMLElement} said @returns {Promise<boolean>} false when it was taken back */
function counted(said) {
  const back = button(html.dataset.confirmBack ?? "", "");
  const left = document.createElement("span");
  left.setAttribute("aria-live", "off"); // read once, not each second
  said.replaceChildren(left, " ", back);
  back.focus();
  let seconds = Number(html.dataset.hold ?? 0);
  const warn = (/** @type {BeforeUnloadEvent} */ event) => event.preventDefault();
  addEventListener("beforeunload", warn);
  return new Promise((resolve) => {
    const end = (/** @type {boolean} */ goes) => {
      clearInterval(timer);
      removeEventListener("beforeunload", warn);
      resolve(goes);
    };
    const show = () => (left.textContent = (html.dataset.confirmLeft ?? "").replace("{n}", String(seconds)));
    const timer = setInterval(() => {
      seconds -= 1;
      if (seconds <= 0) end(true);
      else show();
    }, STEP_MS);
    show();
    back.addEventListener("click", () => end(false));
    onEscape(said, () => end(false));
  });
}

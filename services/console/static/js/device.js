// This browser receives the calls of its person: subscribe, tell the server, and end it again.

import { post } from "./post.js";

const API = "/api/v1/me/push";
const card = /** @type {HTMLElement} */ (document.getElementById("device"));
const state = /** @type {HTMLElement} */ (document.getElementById("state"));
const count = /** @type {HTMLElement} */ (document.getElementById("count"));
const on = /** @type {HTMLButtonElement} */ (document.getElementById("on"));
const off = /** @type {HTMLButtonElement} */ (document.getElementById("off"));

/** @param {string} name of a text of the card @param {boolean} subscribed @param {boolean} able */
function show(name, subscribed, able) {
  state.textContent = card.dataset[name] ?? "";
  on.hidden = subscribed || !able;
  off.hidden = !subscribed;
}

/** @param {{devices: number}} known */
function counted(known) {
  count.textContent = (count.dataset.text ?? "").replace("{n}", String(known.devices));
}

/** @param {string} text base64url @returns {Uint8Array} */
function bytes(text) {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (c) => c.charCodeAt(0));
}

/** @param {PushSubscription} subscription @param {string} key whether it was made for this installation */
function ours(subscription, key) {
  const used = subscription.options.applicationServerKey;
  return used !== null && [...new Uint8Array(used)].join() === [...bytes(key)].join();
}

async function begin() {
  const answer = await fetch(API, { headers: { "Accept-Language": document.documentElement.lang } });
  const known = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    state.textContent = known.detail ?? "";
    return;
  }
  counted(known);
  if (known.key === null) return show("unset", false, false);
  if (known.person === null) return show("none", false, false);
  if (!("serviceWorker" in navigator) || !("PushManager" in window)) return show("unable", false, false);
  const registration = await navigator.serviceWorker.register("/sw.js", { scope: "/appareil" });
  await navigator.serviceWorker.ready;

  /** @param {PushSubscription} subscription */
  async function tell(subscription) {
    const told = await post(API, subscription.toJSON());
    if (told.ok) counted(told.data);
    show(told.ok ? "on" : "failed", told.ok, true);
    if (!told.ok && told.data.detail) state.textContent = told.data.detail;
  }

  on.addEventListener("click", async () => {
    on.disabled = true;
    try {
      if ((await Notification.requestPermission()) !== "granted") return show("denied", false, true);
      const old = await registration.pushManager.getSubscription();
      if (old && !ours(old, known.key)) await old.unsubscribe();
      await tell(await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(known.key) }));
    } catch {
      show("failed", false, true);
    } finally {
      on.disabled = false;
    }
  });

  off.addEventListener("click", async () => {
    const subscription = await registration.pushManager.getSubscription();
    if (subscription) {
      const told = await post(`${API}/end`, { endpoint: subscription.endpoint });
      if (!told.ok) return;
      counted(told.data);
      await subscription.unsubscribe();
    }
    show("off", false, true);
  });

  const subscription = await registration.pushManager.getSubscription();
  if (subscription && ours(subscription, known.key)) await tell(subscription);
  else show(Notification.permission === "denied" ? "denied" : "off", false, true);
}

begin();

// The report form without a network: the page as this device last saw it, and the files that it needs. Nothing else is kept.
// And the calls of a person who subscribed on /appareil: shown also while no page is open, with the receipt that they were.

const CACHE = "vigie-signaler";
const PAGES = 6;
/** Parts of the address in which a form that stands in for another one is the same. */
const SAME = ["realm", "token"];
/** A bad network keeps nobody from writing. */
const PATIENCE_MS = 4000;

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== self.location.origin) return;
  if (url.pathname === "/signaler") event.respondWith(page(event.request, url));
  else if (url.pathname.startsWith("/static/")) event.respondWith(asset(event.request));
});

self.addEventListener("push", (event) => {
  if (event.data) event.waitUntil(call(event.data.json()));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(self.clients.openWindow(event.notification.data.url));
});

/** @param {{title: string, body: string, lang: string, tag: string, stays: boolean, url: string, receipt: string}} told */
async function call(told) {
  const { title, body, lang, tag, stays, url } = told;
  await self.registration.showNotification(title, { body, lang, tag, renotify: true, requireInteraction: stays, data: { url } });
  const receipt = { status: "delivered", channel: "app" };
  await fetch(told.receipt, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(receipt) });
}

// the first visit was before this worker: the page tells what it is made of
self.addEventListener("message", (event) => {
  if (Array.isArray(event.data?.assets)) event.waitUntil(first(event.data.page, event.data.assets));
});

/** @param {string} address @param {string[]} assets */
async function first(address, assets) {
  const cache = await caches.open(CACHE);
  await Promise.all(assets.map(async (a) => (await cache.match(a)) ?? cache.add(a)));
  if (!(await cache.match(address))) await cache.add(address);
}

/** As the server has it; as it is kept when no server answers, or not soon. @param {Request} request @param {URL} url */
async function page(request, url) {
  const cache = await caches.open(CACHE);
  const found = await kept(cache, url);
  const fresh = fetched(request, cache, url);
  if (!found) return fresh;
  const late = new Promise((resolve) => setTimeout(() => resolve(found), PATIENCE_MS));
  const answer = await Promise.race([fresh.catch(() => found), late]);
  return answer.status >= 500 ? found : answer;
}

/** @param {Request} request @param {Cache} cache @param {URL} url */
async function fetched(request, cache, url) {
  const answer = await fetch(request);
  if (answer.ok && !answer.redirected) await remember(cache, url, answer.clone());
  return answer;
}

/** @param {Cache} cache @param {URL} url @param {Response} answer */
async function remember(cache, url, answer) {
  await cache.put(url.href, answer);
  const pages = (await cache.keys()).filter((r) => new URL(r.url).pathname === "/signaler");
  for (const old of pages.slice(0, Math.max(0, pages.length - PAGES))) await cache.delete(old);
  const versions = new Set();
  for (const known of pages.slice(-PAGES)) {
    const text = await (await cache.match(known))?.text();
    for (const [, version] of text?.matchAll(/\/static\/(\w+)\//g) ?? []) versions.add(version);
  }
  for (const file of await cache.keys()) {
    const version = new URL(file.url).pathname.match(/^\/static\/(\w+)\//)?.[1];
    if (version && !versions.has(version)) await cache.delete(file);
  }
}

/** The same page, or the form of another site in the same realm, which then asks for the site: an exercise never stands in for the real one, nor a poster for an account. @param {Cache} cache @param {URL} url */
async function kept(cache, url) {
  const same = await cache.match(url.href);
  if (same) return same;
  for (const known of (await cache.keys()).reverse()) {
    const other = new URL(known.url);
    if (other.pathname === url.pathname && SAME.every((name) => other.searchParams.get(name) === url.searchParams.get(name))) return cache.match(known);
  }
  return undefined;
}

/** @param {Request} request */
async function asset(request) {
  const cache = await caches.open(CACHE);
  const known = await cache.match(request);
  if (known) return known;
  const answer = await fetch(request);
  if (answer.ok) await cache.put(request, answer.clone());
  return answer;
}

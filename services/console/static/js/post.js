// One request to the API from a page: JSON or a file, the CSRF token of the session, the language of the page.

/** @returns {string} proof that a request comes from a page of ours; over TLS its cookie has a name that no other host can set */
export function csrfToken() {
  const found = document.cookie.split("; ").map((c) => c.split("=", 2));
  const value = (/** @type {string} */ name) => found.find(([known]) => known === name)?.[1];
  // a reverse proxy that Vigie was not told of hides TLS from it: then the name is the plain one
  return value("__Host-vigie_csrf") ?? value("vigie_csrf") ?? "";
}

/** @returns {string} a key of which no two are alike */
export function freshKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

/** @param {string} name @returns {Map<string, any>} with what the pages before in this tab had in it */
export function keptMap(name) {
  /** @type {Map<string, any>} */
  let map = new Map();
  try {
    map = new Map(JSON.parse(sessionStorage.getItem(name) ?? "[]"));
  } catch {
    console.info("nothing was kept of the page before");
  }
  addEventListener("pagehide", () => {
    try {
      sessionStorage.setItem(name, JSON.stringify([...map]));
    } catch {
      console.info("nothing can be kept for the next page");
    }
  });
  return map;
}

/** A network that swallows what it is given must not hold a page for ever; a file takes its time. */
const PATIENCE_MS = 30000;
const FILE_PATIENCE_MS = 120000;

/** @typedef {{ok: boolean, status: number, data: any, at?: number}} Answer status 0: no answer at all, or none in time; `at`: when, by the clock of the server */

/**
 * @param {string} url @param {unknown} body JSON, or a Blob as it is @param {Record<string, string>} [headers] @param {string} [method]
 * @returns {Promise<Answer>}
 */
export async function post(url, body, headers = {}, method = "POST") {
  const raw = body instanceof Blob;
  const type = raw ? body.type : "application/json";
  try {
    const answer = await fetch(url, {
      method,
      headers: { "Content-Type": type, "Accept-Language": document.documentElement.lang, "X-CSRF-Token": csrfToken(), ...headers },
      body: raw ? body : JSON.stringify(body),
      signal: AbortSignal.timeout(raw ? FILE_PATIENCE_MS : PATIENCE_MS),
    });
    const at = Date.parse(answer.headers.get("Date") ?? "") || undefined;
    return { ok: answer.ok, status: answer.status, data: await answer.json().catch(() => ({})), at };
  } catch {
    return { ok: false, status: 0, data: {} };
  }
}

/** @param {string} url @param {Record<string, string>} [headers] @returns {Promise<Answer>} */
export async function get(url, headers = {}) {
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const answer = await fetch(url, { headers: { "Accept-Language": document.documentElement.lang, ...headers }, cache: "no-store", signal });
    return { ok: answer.ok, status: answer.status, data: await answer.json().catch(() => ({})) };
  } catch {
    return { ok: false, status: 0, data: {} };
  }
}

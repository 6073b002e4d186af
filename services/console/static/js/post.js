// One request to the API from a page: JSON or a file, the CSRF token of the session, the language of the page.

/** @param {string} name @returns {string} */
export function cookie(name) {
  return document.cookie.split("; ").find((c) => c.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";
}

/** @returns {string} a key of which no two are alike */
export function freshKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

/**
 * @param {string} url @param {unknown} body JSON, or a Blob as it is @param {Record<string, string>} [headers] @param {string} [method]
 * @returns {Promise<{ok: boolean, status: number, data: any}>} status 0: no answer at all
 */
export async function post(url, body, headers = {}, method = "POST") {
  const raw = body instanceof Blob;
  const type = raw ? body.type : "application/json";
  try {
    const answer = await fetch(url, {
      method,
      headers: { "Content-Type": type, "Accept-Language": document.documentElement.lang, "X-CSRF-Token": cookie("vigie_csrf"), ...headers },
      body: raw ? body : JSON.stringify(body),
    });
    return { ok: answer.ok, status: answer.status, data: await answer.json().catch(() => ({})) };
  } catch {
    return { ok: false, status: 0, data: {} };
  }
}

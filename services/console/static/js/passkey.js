// Passkeys: the browser asks the person's device; what it answers goes to the server as base64url (WebAuthn level 3, 5.1.8).

import { post } from "./post.js";

/** @param {string} text @returns {Uint8Array<ArrayBuffer>} */
const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));

/** @param {ArrayBuffer | null | undefined} raw @returns {string | undefined} */
function base64url(raw) {
  if (!raw) return undefined;
  return btoa(String.fromCharCode(...new Uint8Array(raw))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** @param {any} given @returns {any} the same with binary in place of text */
function decoded(given) {
  const list = (/** @type {any[] | undefined} */ keys) => keys?.map((key) => ({ ...key, id: bytes(key.id) }));
  return {
    ...given,
    challenge: bytes(given.challenge),
    ...(given.user && { user: { ...given.user, id: bytes(given.user.id) } }),
    ...(given.excludeCredentials && { excludeCredentials: list(given.excludeCredentials) }),
    ...(given.allowCredentials && { allowCredentials: list(given.allowCredentials) }),
  };
}

/** @param {Credential | null} credential @returns {object | null} */
function encoded(credential) {
  if (!(credential instanceof PublicKeyCredential)) return null;
  const said = /** @type {any} */ (credential.response);
  const response = Object.fromEntries(
    ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"].map((name) => [name, base64url(said[name])]),
  );
  return { id: credential.id, rawId: base64url(credential.rawId), type: credential.type, response, clientExtensionResults: credential.getClientExtensionResults() };
}

/** @param {HTMLElement | null} place @param {any} data */
function refused(place, data) {
  if (!place) return;
  place.textContent = data?.detail ?? place.dataset.failed ?? "";
  place.classList.add("refused");
}

/** @param {string} options @param {(publicKey: any) => Promise<Credential | null>} ask @param {HTMLElement | null} said @returns {Promise<object | null>} */
async function answered(options, ask, said) {
  const offer = await post(options, {});
  if (!offer.ok) {
    refused(said, offer.data);
    return null;
  }
  try {
    return encoded(await ask(decoded(offer.data)));
  } catch {
    refused(said, null); // the person or the device said no, or nobody answered in time
    return null;
  }
}

const adding = document.getElementById("new-key");
if (adding instanceof HTMLFormElement && "PublicKeyCredential" in window) {
  adding.hidden = false;
  adding.addEventListener("submit", async (event) => {
    event.preventDefault();
    const said = document.getElementById("said-keys");
    const credential = await answered("/compte/cles/options", (publicKey) => navigator.credentials.create({ publicKey }), said);
    if (!credential) return;
    const { ok, data } = await post("/compte/cles", { credential, label: new FormData(adding).get("label") });
    if (ok) location.assign("/compte");
    else refused(said, data);
  });
}

const entering = document.getElementById("with-key");
if (entering instanceof HTMLFormElement && "PublicKeyCredential" in window) {
  entering.hidden = false;
  entering.addEventListener("submit", async (event) => {
    event.preventDefault();
    const said = document.getElementById("said-key");
    const credential = await answered("/connexion/cle/options", (publicKey) => navigator.credentials.get({ publicKey }), said);
    if (!credential) return;
    const { ok, data } = await post("/connexion/cle", { credential });
    if (ok) location.assign(String(new FormData(entering).get("next")));
    else refused(said, data);
  });
}

// A link may carry the one-time code in its fragment (`/connexion#code=…`), which never reaches a server's log.

import { forget } from "./drafts.js";

forget(); // whoever logs in here next may be somebody else

const code = new URLSearchParams(location.hash.slice(1)).get("code");
const field = document.getElementById("code");
if (code && field instanceof HTMLInputElement) {
  field.value = code;
  history.replaceState(null, "", location.pathname + location.search);
  field.form?.querySelector("button")?.focus();
}

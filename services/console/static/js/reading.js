// The receipt of the sites: the cell has this page open, so it has read what the page tells of them. Once for each report; the server knows.

import { onRefresh, refresh } from "./live.js";
import { post } from "./post.js";

/** What was marked last: the same again would change nothing. */
let marked = "";
let busy = false;

async function mark() {
  const at = document.querySelector("[data-read]");
  if (!(at instanceof HTMLElement) || busy || document.visibilityState !== "visible") return;
  const standing = `${at.dataset.read} ${at.dataset.stand ?? ""}`;
  if (standing === marked) return;
  busy = true;
  const { ok, status } = await post(`${at.dataset.read}?realm=${encodeURIComponent(document.documentElement.dataset.realm ?? "")}`, {});
  busy = false;
  if (!ok && (status === 0 || status >= 500)) return; // asked again with the next refresh
  marked = standing;
  if (ok && status !== 204) refresh();
}

export function start() {
  onRefresh(mark);
  document.addEventListener("visibilitychange", mark);
  mark();
}

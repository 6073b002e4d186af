// One live connection: server-sent events read with fetch, so that every byte, pings included, proves that what is shown is current.

/** The connection counts as dead after this long without a byte. */
export const SILENCE_MS = 15000;
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 4000;

/**
 * @typedef {{type: "beat", serverTime: number | null}
 *   | {type: "change", event: string}
 *   | {type: "down", retryAt: number}
 *   | {type: "retrying"}
 *   | {type: "login"}} Signal
 *   `beat`: bytes arrived. `change`: something in the realm changed, or may have before we began to listen (`hello`, `joined`). `down`: no connection, next try at `retryAt` (epoch ms).
 */

/** Keeps one connection to `/api/v1/stream` open and tells what it hears. */
export class Stream {
  /** @param {string} realm @param {(signal: Signal) => void} tell */
  constructor(realm, tell) {
    this.url = `/api/v1/stream?realm=${encodeURIComponent(realm)}`;
    this.tell = tell;
    this.lastId = "";
    this.retryMs = FIRST_RETRY_MS;
    /** @type {AbortController | null} */
    this.request = null;
    this.closed = false;
  }

  /** Runs until `close`. */
  async run() {
    while (!this.closed) {
      const outcome = await this.connect();
      if (this.closed) return;
      if (outcome === "login") {
        this.tell({ type: "login" });
        return;
      }
      const wait = this.retryMs * (0.75 + Math.random() / 4); // all the browsers of a room lost it at the same moment
      this.retryMs = Math.min(this.retryMs * 2, LONGEST_RETRY_MS);
      this.tell({ type: "down", retryAt: Date.now() + wait });
      await new Promise((resolve) => setTimeout(resolve, wait));
      this.tell({ type: "retrying" });
    }
  }

  close() {
    this.closed = true;
    this.request?.abort();
  }

  /** One connection, until it ends. @returns {Promise<"ended" | "login">} */
  async connect() {
    const request = new AbortController();
    this.request = request;
    let watchdog = setTimeout(() => request.abort(), SILENCE_MS);
    try {
      const headers = /** @type {Record<string, string>} */ ({ Accept: "text/event-stream" });
      if (this.lastId) headers["Last-Event-ID"] = this.lastId;
      const answer = await fetch(this.url, { headers, signal: request.signal, cache: "no-store" });
      if (answer.status === 401 || answer.status === 403) return "login";
      if (!answer.ok || !answer.body) return "ended";
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return "ended";
        clearTimeout(watchdog);
        watchdog = setTimeout(() => request.abort(), SILENCE_MS);
        this.retryMs = FIRST_RETRY_MS;
        const frames = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
        rest = frames.pop() ?? "";
        let serverTime = null;
        const events = new Set();
        for (const frame of frames) {
          const { event, data, id } = parse(frame);
          if (id) this.lastId = id;
          if (event === "hello" || event === "ping") serverTime = timeIn(data) ?? serverTime;
          if (event !== "ping" && data) events.add(event);
        }
        this.tell({ type: "beat", serverTime });
        for (const event of events) this.tell({ type: "change", event });
      }
    } catch {
      return "ended";
    } finally {
      clearTimeout(watchdog);
    }
  }
}

/** @param {string} frame @returns {{event: string, data: string, id: string}} */
function parse(frame) {
  const found = { event: "message", data: "", id: "" };
  for (const line of frame.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const value = line.slice(colon + 1).replace(/^ /, "");
    const name = line.slice(0, colon);
    if (name === "data") found.data += value;
    else if (name === "event") found.event = value;
    else if (name === "id") found.id = value;
  }
  return found;
}

/** @param {string} data @returns {number | null} `server_time` in epoch ms */
function timeIn(data) {
  try {
    const at = Date.parse(JSON.parse(data).server_time);
    return Number.isNaN(at) ? null : at;
  } catch {
    return null;
  }
}

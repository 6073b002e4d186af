// Shared by all tabs of a browser: one connection per realm, however many screens show it.

import { Stream } from "./stream.js";

/** @type {Map<string, {stream: Stream, ports: Set<MessagePort>, last: import("./stream.js").Signal | null}>} */
const feeds = new Map();

/** @param {string} realm @param {MessagePort} port */
function join(realm, port) {
  let feed = feeds.get(realm);
  if (!feed) {
    const made = { ports: new Set(), last: null, stream: /** @type {Stream} */ (/** @type {unknown} */ (null)) };
    made.stream = new Stream(realm, (signal) => {
      made.last = signal;
      for (const one of made.ports) one.postMessage(signal);
      if (signal.type === "login") feeds.delete(realm);
    });
    feed = made;
    feeds.set(realm, feed);
    made.stream.run();
  } else port.postMessage({ type: "change", event: "joined" }); // the page is as old as its request
  feed.ports.add(port);
  if (feed.last?.type === "down") port.postMessage(feed.last);
}

/** @param {string} realm @param {MessagePort} port */
function leave(realm, port) {
  const feed = feeds.get(realm);
  feed?.ports.delete(port);
  if (feed && feed.ports.size === 0) {
    feed.stream.close();
    feeds.delete(realm);
  }
}

addEventListener("connect", (event) => {
  const port = /** @type {MessageEvent} */ (event).ports[0];
  port.onmessage = ({ data }) => (data.join ? join(data.join, port) : leave(data.leave, port));
});

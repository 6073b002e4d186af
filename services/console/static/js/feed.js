// The live feed of this page: through the shared worker where the browser has one, else its own connection.

import { Stream } from "./stream.js";

/**
 * @param {string} realm
 * @param {string} assets where the scripts lie
 * @param {(signal: import("./stream.js").Signal) => void} tell
 * @returns {() => void} begins again after a login
 */
export function listen(realm, assets, tell) {
  if (typeof SharedWorker === "undefined") {
    let stream = new Stream(realm, tell);
    addEventListener("pagehide", () => stream.close());
    addEventListener("pageshow", (event) => event.persisted && location.reload());
    stream.run();
    return () => {
      stream.close();
      stream = new Stream(realm, tell);
      stream.run();
    };
  }
  const worker = new SharedWorker(`${assets}js/feed-worker.js`, { type: "module", name: "vigie" });
  worker.port.onmessage = ({ data }) => tell(data);
  worker.port.postMessage({ join: realm });
  addEventListener("pagehide", () => worker.port.postMessage({ leave: realm }));
  addEventListener("pageshow", (event) => event.persisted && worker.port.postMessage({ join: realm }));
  return () => worker.port.postMessage({ join: realm });
}

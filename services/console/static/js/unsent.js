// Tells a manager on « Mes sites » that the report form keeps something on this device that has not left.

import * as outbox from "./outbox.js";

async function show() {
  const note = document.getElementById("unsent");
  const reports = await outbox.all().catch(() => []);
  if (note) note.hidden = reports.length === 0;
}

document.addEventListener("visibilitychange", show);
addEventListener("pageshow", show);
show();

// Entry of every screen that shows a realm.

import * as alarm from "./alarm.js";
import * as commands from "./commands.js";
import * as drafts from "./drafts.js";
import * as keys from "./keys.js";
import * as list from "./list.js";
import * as live from "./live.js";
import * as look from "./look.js";
import * as past from "./past.js";
import * as picker from "./picker.js";
import { csrfToken } from "./post.js";
import * as presence from "./presence.js";
import * as reading from "./reading.js";
import * as tables from "./tables.js";
import * as wall from "./wall.js";

commands.start();
drafts.start();
look.start();
list.start();
tables.start();
picker.start();
keys.start();
if (document.documentElement.dataset.past) past.start();
else {
  live.start();
  presence.start();
  reading.start();
}
wall.start();
alarm.start();

// plain forms prove by this token that they come from our page
document.addEventListener("submit", (event) => {
  const field = event.target instanceof HTMLFormElement ? event.target.querySelector("[data-csrf]") : null;
  if (field instanceof HTMLInputElement) field.value = csrfToken();
});

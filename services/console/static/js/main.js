// Entry of every screen that shows a realm.

import * as commands from "./commands.js";
import * as keys from "./keys.js";
import * as list from "./list.js";
import * as live from "./live.js";

commands.start();
list.start();
keys.start();
live.start();

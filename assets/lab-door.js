// The way from the desk to the lab.

import { command } from "./commands.js";

command({ id: "lab", title: "The lab: systems side by side", group: "Desk", run: () => location.assign("/lab") });

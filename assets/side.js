// The list on the left as a drawer of a narrow window, and how the desk looks: light or dark, lively or quiet.

import { command } from "./commands.js";
import { $, memory, say, show } from "./dom.js";
import { tell } from "./state.js";

const THEMES = ["system", "light", "dark"];
const still = matchMedia("(prefers-reduced-motion: reduce)");

function openDrawer() {
  document.body.classList.add("drawer");
  show($("veil"), true);
  $("main").inert = true;
  $("side-open").setAttribute("aria-expanded", "true");
  $("side").querySelector("[aria-current], button")?.focus();
}

const drawerOpen = () => document.body.classList.contains("drawer");

export function closeDrawer() {
  if (!drawerOpen()) return;
  document.body.classList.remove("drawer");
  show($("veil"), false);
  $("main").inert = false;
  $("side-open").setAttribute("aria-expanded", "false");
  $("side-open").focus();
}

function drawTheme() {
  const theme = document.documentElement.dataset.theme ?? "system";
  say($("theme"), { system: "Look: the system's", light: "Look: light", dark: "Look: dark" }[theme]);
  $("theme").title = "Light, dark, or as the system says";
}

function nextTheme() {
  const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme ?? "system") + 1) % THEMES.length];
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  memory.set("theme", next);
  drawTheme();
}

/** Words of the live block are shown at lock-in only. */
export const quiet = () => still.matches || memory.get("quiet") === "yes";

function toggleQuiet() {
  memory.set("quiet", memory.get("quiet") === "yes" ? "no" : "yes");
  drawQuiet();
  tell("quiet");
}

function drawQuiet() {
  $("quiet").setAttribute("aria-pressed", String(memory.get("quiet") === "yes"));
}

const narrow = () => $("side-open").checkVisibility();

command({ id: "drawer-close", title: "Close the list", group: "Desk", keys: "Escape", listed: false, told: false, when: drawerOpen, run: closeDrawer });
command({ id: "drawer", title: "Show documents and sections", group: "Desk", when: narrow, run: openDrawer });
command({ id: "theme", title: "Change the look: system, light, dark", group: "Desk", run: nextTheme });
command({ id: "quiet", title: () => (memory.get("quiet") === "yes" ? "Show words while they are being found" : "Quiet: show words at lock-in only"), group: "Desk", run: toggleQuiet });
$("veil").addEventListener("click", closeDrawer);
drawTheme();
drawQuiet();

// The panel beside the text: one of several things at a time. Knows nothing of what they show.

import { command } from "./commands.js";
import { $, keepPlace, memory, show } from "./dom.js";
import { on } from "./state.js";

const TABS = ["takes", "history", "context", "notes", "find"];

const wide = matchMedia("(min-width: 72rem)");
const drawings = new Map(); // tab -> draws what it shows
const leavings = new Map(); // tab -> is called when it is shown no longer

let current = null; // the tab that is shown, or null
let bringBack = () => {};

/** draw(host): shows the newest; called when the tab is opened, and whenever `redraw` is. left: it is shown no longer. */
export function panelTab(tab, { title, keys = [], draw, left = () => {}, focus = null }) {
  drawings.set(tab, draw);
  leavings.set(tab, left);
  const open = () => openPanel(tab, { focus: focus ?? (() => $(`panel-${tab}`).focus({ preventScroll: true })) });
  command({ id: `panel-${tab}`, title, group: "Beside the text", keys, run: open });
  $(`tab-${tab}`).addEventListener("click", () => openPanel(tab));
}

export function openPanel(tab, { focus = null } = {}) {
  if (!current) bringBack = keepPlace();
  else if (current !== tab) leavings.get(current)?.();
  current = tab;
  memory.set("panel", tab);
  memory.set("panel-open", "yes");
  drawFrame();
  drawings.get(tab)?.($(`panel-${tab}`));
  focus?.();
}

export function closePanel() {
  if (!current) return;
  const inside = $("panel").contains(document.activeElement);
  leavings.get(current)?.();
  current = null;
  memory.set("panel-open", "no");
  drawFrame();
  if (inside) bringBack();
}

/** Something that a tab shows has changed. */
export function redraw(tab) {
  if (current === tab) drawings.get(tab)?.($(`panel-${tab}`));
}

/** Over the text it makes room again once something in it was chosen. */
export function giveWay() {
  if (!wide.matches && innerWidth < 640) closePanel();
}

function drawFrame() {
  show($("panel"), current !== null);
  $("panel-open").setAttribute("aria-expanded", String(current !== null));
  document.body.classList.toggle("with-panel", current !== null);
  for (const tab of TABS) {
    const chosen = tab === current;
    $(`tab-${tab}`).setAttribute("aria-selected", String(chosen));
    $(`tab-${tab}`).tabIndex = chosen ? 0 : -1;
    show($(`panel-${tab}`), chosen);
  }
}

function remembered() {
  const tab = memory.get("panel");
  return TABS.includes(tab) ? tab : "takes";
}

function stepThrough(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const next = TABS[(TABS.indexOf(current) + step + TABS.length) % TABS.length];
  openPanel(next);
  $(`tab-${next}`).focus();
  event.preventDefault();
}

command({
  id: "panel",
  title: "Show or hide what stands beside the text",
  group: "Beside the text",
  keys: "Mod+J",
  run: () => (current ? closePanel() : openPanel(remembered(), { focus: () => $(`tab-${remembered()}`).focus() })),
});
command({
  id: "panel-close",
  title: "Close what stands beside the text",
  group: "Beside the text",
  keys: "Escape",
  listed: false,
  told: false,
  when: () => current !== null && (!wide.matches || $("panel").contains(document.activeElement)),
  run: closePanel,
});
$("panel-tabs").addEventListener("keydown", stepThrough);
on("model", () => {
  if (memory.get("panel-open") === "yes" && wide.matches && !current) openPanel(remembered());
});

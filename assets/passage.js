// What can be done with the passage that is chosen, or with the place of the cursor: a small bar of tools above it.

import { command } from "./commands.js";
import { $, el, show } from "./dom.js";
import { openMenu } from "./menu.js";
import { placeAt } from "./popover.js";
import { pinned, revise, togglePin } from "./revising.js";
import { sheet } from "./sheet.js";
import { desk, on } from "./state.js";
import { later } from "./timing.js";

const STRENGTHS = [
  { share: 0.15, name: "polish" },
  { share: 0.35, name: "lightly" },
  { share: 0.65, name: "deeply" },
  { share: 1, name: "new" },
];
const LENGTHS = [
  { words: 30, name: "A sentence or two" },
  { words: 80, name: "A paragraph" },
  { words: 160, name: "More" },
];
const MEASURED = "smollm2-135m"; // in docs/filling.md
const FOUND = {
  infill: "a sentence fits it no better than writing on would.",
  rewrite: "all new reads likelier than half new.",
};
const SETTLE_MS = 250;
const WORD = /[\p{L}\p{N}_'’-]/u;

let place = null; // {start, end}: what was chosen in the text last, start = end for a cursor
let pressed = false; // a pointer is choosing

const bar = el("div", { id: "tools", class: "tools", popover: "manual", role: "toolbar", "aria-label": "Change this passage" });
$("main").append(bar);

const ready = () => Boolean(sheet.editor) && desk.view === "edit" && desk.engine?.state === "ready";

/** While the text has the focus, the place is what is chosen there now. */
function refresh() {
  if (sheet.editor && document.activeElement === sheet.editor.root) place = sheet.editor.chosen ?? place;
}

function hasPlace() {
  refresh();
  return ready() && place !== null;
}
const hasPassage = () => hasPlace() && place.start < place.end;
const isShown = () => bar.matches(":popover-open");

/** Whether the passage is a single word; a cursor stands in one. */
function isWord({ start, end }) {
  const { text } = sheet.editor;
  if (start < end) return !/\s/.test(text.slice(start, end).trim());
  return WORD.test(text[start] ?? "") || WORD.test(text[start - 1] ?? "");
}

const overlapsPin = ({ start, end }) => pinned().some((pin) => pin.start < end && start < pin.end);

/** The passage, grown to the words to keep around it: the lines they stand in. */
function aroundPins() {
  if (hasPassage() && pinned(place.start, place.end).length) return place;
  const pins = pinned();
  const { text } = sheet.editor;
  const start = text.lastIndexOf("\n", Math.min(...pins.map((pin) => pin.start)) - 1) + 1;
  const last = text.indexOf("\n", Math.max(...pins.map((pin) => pin.end)));
  return { start, end: last < 0 ? text.length : last };
}

const TOOLS = [
  { id: "rewrite", title: "Rewrite …", full: "Rewrite the passage …", when: hasPassage, run: askStrength },
  { id: "alternatives", title: "Other words", full: "Other words for this one", when: () => hasPlace() && isWord(place), run: () => ask("alternatives") },
  { id: "again", title: "Again", full: "Write the block at the cursor again", when: () => hasPlace() && !hasPassage(), run: () => ask("reroll") },
  { id: "fix", title: "Fix weak words", full: "Fix weak words", when: hasPlace, run: () => ask("fix") },
  { id: "keep", title: () => (overlapsPin(place) ? "Let go" : "Keep these words"), full: "Keep these words, or let them go", when: hasPassage, run: pin },
  { id: "around", title: "Rewrite around", full: "Rewrite around the words you keep", when: () => ready() && pinned().length > 0, run: () => ask("rewrite", {}, aroundPins()) },
  { id: "infill", title: "Fill in …", full: "Fill in what is missing here …", when: () => hasPlace() && !hasPassage(), run: askLength },
  { id: "seam", title: "Repair seam", full: "Repair the seam between two blocks here", when: () => hasPlace() && !hasPassage(), run: () => ask("seam") },
];

async function ask(kind, given = {}, where = place) {
  hide();
  sheet.editor.root.focus({ preventScroll: true });
  await revise(kind, where, given);
}

function pin() {
  togglePin(place);
  hide();
  sheet.editor.root.focus({ preventScroll: true });
}

// ------------------------------------------------------------------------------------------------------------- asking

function tool(id, title, run) {
  return el("button", { type: "button", tabIndex: -1, "data-tool": id, onpointerdown: (event) => event.preventDefault(), onclick: run }, title);
}

function drawTools() {
  const possible = TOOLS.filter((each) => each.when());
  bar.setAttribute("role", "toolbar");
  bar.replaceChildren(...possible.map(({ id, title, run }) => tool(id, typeof title === "function" ? title() : title, run)));
  bar.firstElementChild?.setAttribute("tabindex", "0");
}

/** What the text to the right is to the model: a network that reads from the left can verify, others see their block. */
function whatItReads(kind) {
  if (!desk.model.rules.includes("verified")) return "The model sees what follows only inside its own block of tokens.";
  const hint = "What follows is only a hint to the model";
  return desk.model.id === MEASURED ? `${hint}; ${FOUND[kind]}` : `${hint}.`;
}

/** How much of the passage may change. */
function askStrength() {
  if (!isShown()) display();
  const slider = el("input", { type: "range", id: "strength", min: 0, max: STRENGTHS.length - 1, step: 1, value: STRENGTHS.length - 1 }); // new words read best: docs/filling.md
  const named = el("output", { htmlFor: "strength", class: "strength-name" });
  const draw = () => {
    const { name } = STRENGTHS[Number(slider.value)];
    named.textContent = name;
    slider.setAttribute("aria-valuetext", name);
  };
  const go = () => ask("rewrite", { strength: STRENGTHS[Number(slider.value)].share });
  slider.addEventListener("input", draw);
  slider.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    go();
  });
  draw();
  bar.setAttribute("role", "group");
  slider.setAttribute("aria-describedby", "strength-note");
  bar.replaceChildren(
    el("label", { htmlFor: "strength" }, "Rewrite, from polish to new"),
    slider,
    named,
    el("button", { type: "button", class: "primary small", onclick: go }, "Rewrite"),
    el("p", { id: "strength-note", class: "faint-note" }, whatItReads("rewrite")),
  );
  position();
  slider.focus({ preventScroll: true });
}

function askLength() {
  if (!isShown()) display();
  const anchor = bar.querySelector("[data-tool=infill]");
  openMenu(
    anchor,
    "How much is missing",
    LENGTHS.map(({ name, words }) => ({ label: name, mark: `${words} words`, run: () => ask("infill", { words }) })),
    whatItReads("infill"),
  );
}

// ------------------------------------------------------------------------------------------------------ showing, hiding

function display() {
  drawTools();
  if (!bar.childElementCount) return;
  if (!isShown()) bar.showPopover();
  position();
}

function hide() {
  if (isShown()) bar.hidePopover();
}

function position() {
  const { editor } = sheet;
  const range = editor.range(place.start, place.end);
  const line = range.startContainer.nodeType === Node.TEXT_NODE ? range.startContainer.parentElement : range.startContainer;
  const box = place.start < place.end ? range.getBoundingClientRect() : (range.getClientRects()[0] ?? line.getBoundingClientRect());
  const edge = $("scroll").getBoundingClientRect();
  const out = box.bottom < edge.top || box.top > edge.bottom;
  show(bar, !out);
  if (out) return;
  const top = Math.max(box.top, edge.top);
  const bottom = Math.min(box.bottom, edge.bottom);
  const touch = matchMedia("(pointer: coarse)").matches; // the system's own bar stands above what is chosen
  placeAt(bar, { top, bottom, left: box.left, right: box.right }, { above: !touch });
}

/** By keyboard: the tools, also for a mere cursor. */
function summon() {
  display();
  bar.querySelector("button")?.focus({ preventScroll: true });
}

const settle = later(() => {
  if (document.activeElement !== sheet.editor?.root || pressed || document.querySelector(".offer")) return;
  if (hasPassage()) display();
}, SETTLE_MS);

function onSelection() {
  if (document.activeElement !== sheet.editor?.root) return;
  hide();
  if (!getSelection().isCollapsed) settle();
}

function onKey(event) {
  const tools = [...bar.querySelectorAll("button")];
  const at = tools.indexOf(document.activeElement);
  if (event.key === "Escape") {
    hide();
    sheet.editor.root.focus({ preventScroll: true });
    sheet.editor.choose(place.start, place.end);
  } else if (bar.getAttribute("role") === "toolbar" && event.key === "ArrowRight") tools[(at + 1) % tools.length].focus();
  else if (bar.getAttribute("role") === "toolbar" && event.key === "ArrowLeft") tools[(at - 1 + tools.length) % tools.length].focus();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

bar.addEventListener("keydown", onKey);
document.addEventListener("selectionchange", onSelection);
addEventListener("pointerdown", (event) => {
  pressed = true;
  if (!bar.contains(event.target) && !event.target.closest?.(".menu")) hide();
}, true);
addEventListener("focusin", (event) => {
  // Whoever goes on elsewhere by keyboard would find the bar above it, on a phone above the panel's own tabs.
  if (!bar.contains(event.target) && !sheet.editor?.root.contains(event.target) && !event.target.closest?.(".menu")) hide();
});
addEventListener("pointerup", () => {
  pressed = false;
  settle();
}, true);
$("scroll").addEventListener("scroll", () => isShown() && position(), { passive: true });
addEventListener("resize", () => isShown() && position());
on("typed", hide);
on("view", hide);
on("section", () => {
  place = null;
  hide();
});
command({ id: "tools", title: "Change this passage …", group: "Passage", keys: ["Mod+.", "Alt+Enter"], listed: false, when: hasPlace, run: summon });
command({
  id: "tools-hide",
  title: "Hide the tools of the passage",
  group: "Passage",
  keys: "Escape",
  listed: false,
  told: false,
  when: isShown,
  run: hide,
});
for (const { id, full, when, run } of TOOLS) command({ id: `passage-${id}`, title: full, group: "Passage", when, run });

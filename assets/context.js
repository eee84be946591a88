// Beside the text: exactly what the model would read to write on here, by origin; what does not fit is said first.

import { Away, Refusal, read } from "./api.js";
import { $, el, say, show } from "./dom.js";
import { openPanel, panelTab, redraw } from "./panel.js";
import { sheet } from "./sheet.js";
import { desk, on } from "./state.js";
import { later, takeLatest } from "./timing.js";
import { number } from "./words.js";

const ORIGINS = {
  desk: "The desk's own words",
  style: "Your style sheet",
  "own style": "The section's own style",
  earlier: "Sections before, in short",
  before: "The end of the section before",
  task: "Title, brief and length",
  text: "The text so far",
};

const NOTHING = "There is nothing to read yet: give the section a title, a brief or its first words.";

/** {parts, left_out, tokens, room}, or {refused: why}; null while the desk is away. */
async function ask() {
  const { keeper } = sheet;
  if (!keeper || desk.engine?.state !== "ready") return { refused: keeper ? "The model is not ready yet." : "No section is open." };
  const { title, brief } = desk.section;
  if (!title.trim() && !brief.trim() && sheet.editor.empty) return { refused: NOTHING };
  try {
    const answer = await read("context", { section_id: keeper.id });
    return sheet.keeper === keeper ? answer : null;
  } catch (error) {
    if (error instanceof Refusal) return { refused: error.message };
    if (error instanceof Away) return null;
    throw error;
  }
}

const toDraw = takeLatest(ask);
const toWarn = takeLatest(ask);

async function draw(host) {
  const context = await toDraw();
  if (!context) return;
  if (context.refused) {
    host.replaceChildren(el("p", { class: "panel-empty" }, context.refused));
    return;
  }
  const { parts, left_out: leftOut, tokens, room } = context;
  const meter = el("div", { class: "context-bar", "aria-hidden": "true" });
  for (const { origin, tokens: size } of parts) {
    const piece = el("span", { "data-origin": origin });
    piece.style.flexGrow = String(size);
    meter.append(piece);
  }
  const free = el("span", { "data-origin": "free" });
  free.style.flexGrow = String(Math.max(0, room - tokens));
  meter.append(free);
  const opened = new Set([...host.querySelectorAll("details[open]")].map((each) => each.dataset.part));
  host.replaceChildren(
    ...leftOut.map((sentence) => el("p", { class: "warning" }, sentence)),
    el("p", { class: "context-sum" }, `${number(tokens)} of ${number(room)} tokens that fit.`),
    meter,
    ...parts.map((part, index) => passage(part, String(index), opened)),
  );
}

function passage({ origin, title, text, tokens }, key, opened) {
  const details = el(
    "details",
    { class: "context-part", "data-part": key, open: opened.has(key) },
    el(
      "summary",
      {},
      el("span", { class: "context-key", "data-origin": origin, "aria-hidden": "true" }),
      el("span", { class: "context-title" }, title || ORIGINS[origin] || origin),
      el("span", { class: "count" }, number(tokens)),
    ),
    el("p", { class: "context-text" }, text || "(nothing)"),
  );
  return details;
}

/** What the model will not read is said at the dock, before anything is written. */
const warnSoon = later(async () => {
  const context = await toWarn();
  if (!context) return;
  const { left_out: leftOut = [] } = context;
  show($("left-out"), leftOut.length > 0);
  say($("left-out-says"), leftOut.length > 1 ? `${leftOut[0]} And ${leftOut.length - 1} more.` : (leftOut[0] ?? ""));
}, 900);

function refresh() {
  redraw("context");
  warnSoon();
}

panelTab("context", { title: "What the model reads", draw });
$("left-out").addEventListener("click", () => openPanel("context"));
on("section", refresh);
on("facts", refresh);
on("engine", refresh);

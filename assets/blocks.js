// Who wrote what: the blocks of the open section marked in the text, and the facts of one of them.

import { inquire } from "./asking.js";
import { command } from "./commands.js";
import { $, el, keepPlace, memory, show } from "./dom.js";
import { mark } from "./marks.js";
import { toUnits } from "./places.js";
import { placeAt } from "./popover.js";
import { revise } from "./revising.js";
import { sheet } from "./sheet.js";
import { desk, on } from "./state.js";
import { goStep } from "./steps.js";
import { later, takeLatest } from "./timing.js";
import { duration } from "./words.js";

const WEAK = 0.25; // a block whose tokens were less likely than this on average is one to look at again
const AUTHORS = { writer: "Your words", model: "The model's words", edited: "The model's words, changed by you" };

let showing = memory.get("blocks") === "yes";
let blocks = []; // {start, end} in units of the text now, and their facts
let surface = null;

const layer = el("div", { class: "margin", "aria-hidden": "true" });
$("edit").append(layer);

/** The blocks as they are now; empty where the text has gone on since. */
async function read() {
  const { keeper, editor } = sheet;
  if (!keeper) return [];
  const answer = await inquire("blocks", { section_id: keeper.id });
  if (!answer || sheet.keeper !== keeper || keeper.unsaved || answer.revision !== keeper.revision) return [];
  const { text } = editor;
  return answer.blocks.map((block, index) => ({ ...block, index, start: toUnits(text, block.start), end: toUnits(text, block.end) }));
}

const toDraw = takeLatest(async () => (showing ? read() : []));

async function draw() {
  const known = await toDraw();
  if (!known) return;
  blocks = sheet.editor ? known : [];
  const ranges = (wanted) => blocks.filter(wanted).map(({ start, end }) => sheet.editor.range(start, end));
  const models = (odd) => ranges(({ author, index }) => author === "model" && index % 2 === odd);
  mark("model-even", models(0));
  mark("model-odd", models(1));
  mark("edited", ranges(({ author }) => author === "edited"));
  mark("weak", ranges(({ sureness }) => sureness !== null && sureness < WEAK));
  drawMargin();
}

/** One bar for each run of blocks of one origin. */
function drawMargin() {
  const runs = [];
  for (const { start, end, author } of blocks) {
    const last = runs.at(-1);
    if (last?.author === author) last.end = end;
    else runs.push({ start, end, author });
  }
  const top = $("edit").getBoundingClientRect().top;
  layer.replaceChildren(
    ...runs.map(({ start, end, author }) => {
      const boxes = sheet.editor.range(start, end).getClientRects();
      const bar = el("span", { class: "origin", "data-author": author, title: AUTHORS[author] });
      if (!boxes.length) return bar;
      bar.style.top = `${boxes[0].top - top}px`;
      bar.style.height = `${boxes[boxes.length - 1].bottom - boxes[0].top}px`;
      return bar;
    }),
  );
}

function toggle() {
  showing = !showing;
  memory.set("blocks", showing ? "yes" : "no");
  $("blocks").setAttribute("aria-pressed", String(showing));
  draw();
}

// --------------------------------------------------------------------------------------------------------------- facts

/** The facts of the block at the cursor. */
async function tellFacts() {
  const place = sheet.editor?.chosen?.start;
  const bringBack = keepPlace();
  const known = await read();
  const block = known.find(({ start, end }) => start <= place && place < end) ?? known.at(-1);
  if (block) openFacts(block, bringBack);
}

function openFacts(block, bringBack) {
  closeFacts();
  const dial = stopChoice();
  const again = () => {
    closeFacts();
    revise("reroll", { start: block.start, end: block.start }, dial.value ? { stop_name: dial.value } : {});
  };
  const rewind = () => {
    closeFacts();
    goStep("rewind", { block: block.index });
  };
  const model = block.author !== "writer";
  const heading = el("p", { class: "offer-head" }, AUTHORS[block.author]);
  surface = el(
    "div",
    { class: "offer facts-of-block", popover: "auto", role: "dialog", "aria-label": AUTHORS[block.author] },
    heading,
    model ? el("dl", {}, ...facts(block).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])) : el("p", { class: "panel-empty" }, "Typed or pasted by you."),
    el(
      "div",
      { class: "offer-buttons" },
      el("button", { type: "button", class: "quiet-button", title: "Takes this block and all that follows out of the text", onclick: rewind }, "Rewind to here"),
      model ? dial : null,
      model ? el("button", { type: "button", class: "primary small", onclick: again }, "Again") : null,
    ),
  );
  const own = surface;
  own.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    event.preventDefault();
    closeFacts();
  });
  own.addEventListener("toggle", (event) => {
    if (event.newState !== "closed") return;
    if (own.contains(document.activeElement) || document.activeElement === document.body) bringBack();
    own.remove();
    mark("block", []);
  });
  $("main").append(own);
  own.showPopover();
  const range = sheet.editor.range(block.start, block.end);
  mark("block", [range]);
  placeAt(own, range.getBoundingClientRect());
  own.querySelector("button").focus({ preventScroll: true });
}

/** The dial for this block alone. */
function stopChoice() {
  const stops = desk.model.stops.map(({ name }) => el("option", { value: name }, name));
  return el("select", { "aria-label": "Dial for this block" }, el("option", { value: "" }, "as the section"), ...stops);
}

function closeFacts() {
  if (surface?.matches(":popover-open")) surface.hidePopover();
}

function facts({ sureness, nll, tokens, nfe, seconds, dial, seed }) {
  const rows = [];
  if (sureness !== null) rows.push(["Sureness", `${Math.round(100 * sureness)} % a token (${(nll / tokens).toFixed(2)} nats)`]);
  if (tokens) rows.push(["Tokens", String(tokens)]);
  if (nfe) rows.push(["Forwards", tokens ? `${nfe}, ${(nfe / tokens).toFixed(2)} a token` : String(nfe)]);
  if (seconds) rows.push(["Time", tokens ? `${duration(seconds)}, ${(tokens / seconds).toFixed(1)} tokens/s` : duration(seconds)]);
  if (dial) rows.push(["Setting", `block of ${dial.block_size}, ${dial.steps} ${dial.steps === 1 ? "step" : "steps"}, ${dial.rule}`]);
  if (seed) rows.push(["Seed", seed]);
  return rows;
}

const drawSoon = later(draw, 250);

$("blocks").setAttribute("aria-pressed", String(showing));
command({ id: "blocks", title: () => (showing ? "Hide who wrote what" : "Show blocks: who wrote what"), group: "Text", when: () => Boolean(desk.section), run: toggle });
command({ id: "block-facts", title: "Facts of the block at the cursor", group: "Text", keys: "Mod+I", when: () => Boolean(sheet.editor) && desk.view === "edit", run: tellFacts });
for (const topic of ["section", "facts", "adopted", "appended", "view"]) on(topic, () => showing && drawSoon());
on("lists", () => show($("blocks"), Boolean(desk.section) && desk.view === "edit"));
new ResizeObserver(() => showing && drawMargin()).observe($("edit"));

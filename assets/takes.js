// Beside the text: every take there has been for the open section, the newest first.

import { inquire } from "./asking.js";
import { changesOf } from "./changes.js";
import { el } from "./dom.js";
import { TAKE_KINDS, chooseTake, offer, surprise } from "./offer.js";
import { giveWay, panelTab, redraw } from "./panel.js";
import { sheet } from "./sheet.js";
import { desk, on } from "./state.js";
import { takeLatest } from "./timing.js";
import { setView } from "./views.js";
import { hour } from "./words.js";

const EMPTY =
  "Choose some words in the text and have them rewritten, or put the cursor into a block and have it written again. Whatever the model offers is kept here, with the words that stood there before.";

const takesOf = takeLatest(async (section) => (section && (await inquire("takes", { section_id: section.id }))?.takes) ?? []);

async function draw(host) {
  const { section } = desk;
  const takes = await takesOf(section);
  if (!takes || section?.id !== desk.section?.id) return;
  host.replaceChildren(...(takes.length ? takes.map(card) : [el("p", { class: "panel-empty" }, section ? EMPTY : "No section is open.")]));
}

function card(take) {
  return el(
    "section",
    { class: "take" },
    el(
      "header",
      { class: "take-head" },
      el("h2", {}, TAKE_KINDS[take.kind] ?? "Takes"),
      el("span", { class: "faint-note" }, hour(take.at)),
      el("button", { type: "button", class: "quiet-button", onclick: () => lookAt(take) }, "Look in the text"),
    ),
    take.kind === "alternatives" ? wordRow(take) : el("ol", { class: "candidates" }, ...take.candidates.map((candidate, index) => row(take, candidate, index))),
  );
}

/** Single words need no lines of their own. */
function wordRow(take) {
  const words = take.candidates.map(({ text }, index) =>
    el("button", { type: "button", class: take.chosen === index ? "word-take chosen" : "word-take", onclick: () => chooseTake(take, index) }, text),
  );
  return el("p", { class: "word-takes" }, el("del", {}, take.before), ...words.flatMap((word) => [" ", word]));
}

function row(take, candidate, index) {
  const chosen = take.chosen === index;
  const mix = changesOf(take.before, candidate.text, () => made.classList.toggle("mix", Boolean(mix.changes)));
  const made = el(
    "li",
    { class: chosen ? "chosen" : "" },
    el("p", { class: "candidate" }, ...mix.nodes),
    el(
      "p",
      { class: "candidate-foot" },
      surprise(candidate),
      chosen ? el("span", { class: "faint-note" }, "Chosen last") : null,
      el("button", { type: "button", class: "quiet-button", onclick: () => chooseTake(take, index, mix.changes) }, "Use this"),
    ),
  );
  return made;
}

function lookAt(take) {
  setView("edit");
  giveWay();
  if (!offer(take)) sheet.keeper && redraw("takes");
}

const again = () => redraw("takes");

panelTab("takes", { title: "Takes", draw });
on("section", again);
on("takes", again);
on("chosen", again);

// Takes for a passage, right at the passage: each is looked at in place, and one is taken or the old words stay.

import { changesOf } from "./changes.js";
import { note, speak } from "./dialogs.js";
import { $, el, keepPlace, say } from "./dom.js";
import { mark } from "./marks.js";
import { findAgain, toUnits } from "./places.js";
import { placeAt } from "./popover.js";
import { welcome } from "./revising.js";
import { reveal, sheet } from "./sheet.js";
import { desk, on, tell } from "./state.js";
import { takeStep } from "./steps.js";

export const TAKE_KINDS = {
  reroll: "The block again",
  fix: "Better words",
  rewrite: "Rewritten",
  pins: "Rewritten around your words",
  seam: "A smoother seam",
  infill: "What was missing",
  alternatives: "Other words",
};

let open = null; // {take, start, at, surface, list, rows, mixes, count, bringBack}

/** Opens the takes at their passage; false where it is not in the open text any more. */
export function offer(take, { focus = true } = {}) {
  closeOffer();
  const { editor } = sheet;
  if (!editor || desk.view !== "edit") return false;
  const { text } = editor;
  const start = findAgain(text, take.before, toUnits(text, take.start));
  if (start === null) return false;
  const list = el("div", { class: "offer-list", role: "grid", tabIndex: 0, "aria-label": "Takes" });
  const count = el("span", { class: "faint-note" });
  const surface = el(
    "div",
    { class: "offer", popover: "manual", role: "dialog", "aria-label": `Takes: ${TAKE_KINDS[take.kind] ?? "a passage"}` },
    el("p", { class: "offer-head" }, el("span", {}, TAKE_KINDS[take.kind] ?? "Takes"), el("span", { class: "offer-keys" }, "↑ ↓ look   ⇥ changes   ⏎ take   Esc keep the old")),
    list,
    el(
      "div",
      { class: "offer-buttons" },
      count,
      el("button", { type: "button", class: "quiet-button", onclick: closeOffer }, "Keep the old"),
      el("button", { type: "button", class: "primary small", onclick: () => choose(open.at) }, "Use this"),
    ),
  );
  surface.classList.toggle("of-words", take.kind === "alternatives");
  const mixes = take.candidates.map(({ text }, index) => changesOf(take.before, text, () => look(index)));
  const rows = take.candidates.map((candidate, index) => row(take, candidate, index, mixes[index]));
  list.append(...rows);
  open = { take, start, at: 0, surface, list, rows, mixes, count, bringBack: keepPlace() };
  surface.addEventListener("keydown", onKey);
  $("main").append(surface);
  surface.showPopover();
  look(0);
  if (focus) list.focus({ preventScroll: true });
  speak(`${take.candidates.length} ${take.candidates.length === 1 ? "take" : "takes"}: ${TAKE_KINDS[take.kind] ?? ""}.`);
  return true;
}

function row(take, candidate, index, mix) {
  const made = el(
    "div",
    { id: `offer-${index}`, role: "row", onpointerdown: (event) => event.preventDefault(), ondblclick },
    el("div", { role: "gridcell" }, ...(take.kind === "alternatives" ? [candidate.text] : mix.nodes), surprise(candidate)),
  );
  made.addEventListener("click", lookFirst, true);
  let fresh = false; // the first of two clicks looked at it
  return made;

  /** Wherever in its words a take is pressed that is not looked at yet: nothing of it changes. */
  function lookFirst(event) {
    if (event.detail < 2) fresh = open.at !== index;
    if (!fresh) return;
    event.stopPropagation();
    look(index);
  }

  function ondblclick(event) {
    if (fresh || !event.target.closest(".change")) choose(index);
  }
}

/** How surprising the words are to the model: the less, the more likely. */
export function surprise({ nll, mixed }) {
  if (mixed) return el("span", { class: "nats" }, "mixed by you");
  if (nll === null) return null;
  return el("span", { class: "nats", title: "Surprise to the model, in nats a token: the less, the likelier" }, nll.toFixed(2));
}

function look(index) {
  const { take, start, rows, mixes, list, surface } = open;
  const { length } = rows;
  open.at = (index + length) % length;
  const mix = mixes[open.at];
  const range = sheet.editor.preview(start, start + take.before.length, mix.text);
  mark("taken", [range]);
  tell("previewed");
  rows.forEach((each, at) => {
    each.setAttribute("aria-selected", String(at === open.at));
    each.classList.toggle("mix", Boolean(mixes[at].changes));
    for (const button of mixes[at].buttons) button.tabIndex = at === open.at ? 0 : -1;
  });
  if (list.contains(document.activeElement) && !rows[open.at].contains(document.activeElement)) list.focus({ preventScroll: true });
  say(open.count, mix.changes ? `${mix.taken} of ${mix.count} changes` : "");
  list.setAttribute("aria-activedescendant", rows[open.at].id);
  rows[open.at].scrollIntoView({ block: "nearest" });
  reveal(range);
  placeAt(surface, range.getBoundingClientRect());
}

function onKey(event) {
  if (event.key === "ArrowDown" || event.key === "ArrowRight") look(open.at + 1);
  else if (event.key === "ArrowUp" || event.key === "ArrowLeft") look(open.at - 1);
  else if (event.key === "Escape") closeOffer();
  else if (event.key === "Enter" && event.target === open.list) choose(open.at);
  else return;
  event.stopPropagation();
  event.preventDefault();
}

async function choose(index) {
  const { take, mixes } = open;
  closeOffer();
  await chooseTake(take, index, mixes[index].changes);
}

/** Puts a take into the text; changes: these alone, null for all of it. */
export async function chooseTake(take, index, changes = null) {
  if (changes?.length === 0) {
    note("No change was taken; the text stays as it was.");
    return;
  }
  const answer = await takeStep("choose_take", { take_id: take.id, index, changes });
  if (answer) tell("chosen", take);
}

/** The old words stand there again. */
export function closeOffer() {
  if (!open) return;
  const { surface, bringBack } = open;
  const inside = surface.contains(document.activeElement);
  open = null;
  sheet.editor?.endPreview();
  mark("taken", []);
  tell("previewed");
  surface.remove();
  if (inside) bringBack();
}

/** What is done elsewhere ends the look at takes, before it is done. */
function onPress(event) {
  if (open && !open.surface.contains(event.target)) closeOffer();
}

function follow() {
  if (!open) return;
  const { start, at, surface, mixes } = open;
  placeAt(surface, sheet.editor.range(start, start + mixes[at].text.length).getBoundingClientRect());
}

addEventListener("pointerdown", onPress, true);
addEventListener("resize", follow);
$("scroll").addEventListener("scroll", follow, { passive: true });
on("leaving", closeOffer);
on("view", closeOffer);
on("adopted", () => open && closeOffer());
on("typed", closeOffer);
on("takes", ({ section_id, take }) => {
  if (section_id !== desk.section?.id) note("Takes for another section are ready; they are kept beside its text.");
  else if (!welcome() || !offer(take)) note("Takes are ready; look at them beside the text.");
});

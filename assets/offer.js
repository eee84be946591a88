// Takes for a passage, right at the passage: each is looked at in place, and one is taken or the old words stay.

import { difference } from "./difference.js";
import { note, speak } from "./dialogs.js";
import { $, el, keepPlace } from "./dom.js";
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

let open = null; // {take, start, at, surface, rows, bringBack}

/** Opens the takes at their passage; false where it is not in the open text any more. */
export function offer(take, { focus = true } = {}) {
  closeOffer();
  const { editor } = sheet;
  if (!editor || desk.view !== "edit") return false;
  const { text } = editor;
  const start = findAgain(text, take.before, toUnits(text, take.start));
  if (start === null) return false;
  const list = el("ol", { class: "offer-list", role: "listbox", tabIndex: 0, "aria-label": "Takes" });
  const surface = el(
    "div",
    { class: "offer", popover: "manual", role: "dialog", "aria-label": `Takes: ${TAKE_KINDS[take.kind] ?? "a passage"}` },
    el("p", { class: "offer-head" }, el("span", {}, TAKE_KINDS[take.kind] ?? "Takes"), el("span", { class: "offer-keys" }, "↑ ↓ look   ⏎ take   Esc keep the old")),
    list,
    el(
      "div",
      { class: "offer-buttons" },
      el("button", { type: "button", class: "quiet-button", onclick: closeOffer }, "Keep the old"),
      el("button", { type: "button", class: "primary small", onclick: () => choose(open.at) }, "Use this"),
    ),
  );
  surface.classList.toggle("of-words", take.kind === "alternatives");
  const rows = take.candidates.map((candidate, index) =>
    el(
      "li",
      { id: `offer-${index}`, role: "option", onpointerdown: (event) => event.preventDefault(), onclick: () => look(index), ondblclick: () => choose(index) },
      ...(take.kind === "alternatives" ? [candidate.text] : difference(take.before, candidate.text)),
      surprise(candidate),
    ),
  );
  list.append(...rows);
  open = { take, start, at: 0, surface, list, rows, bringBack: keepPlace() };
  surface.addEventListener("keydown", onKey);
  $("main").append(surface);
  surface.showPopover();
  look(0);
  if (focus) list.focus({ preventScroll: true });
  speak(`${take.candidates.length} ${take.candidates.length === 1 ? "take" : "takes"}: ${TAKE_KINDS[take.kind] ?? ""}.`);
  return true;
}

/** How surprising the words are to the model: the less, the more likely. */
export function surprise({ nll }) {
  if (nll === null) return null;
  return el("span", { class: "nats", title: "Surprise to the model, in nats a token: the less, the likelier" }, nll.toFixed(2));
}

function look(index) {
  const { take, start, rows, list, surface } = open;
  const { length } = rows;
  open.at = (index + length) % length;
  const range = sheet.editor.preview(start, start + take.before.length, take.candidates[open.at].text);
  mark("taken", [range]);
  tell("previewed");
  rows.forEach((row, each) => row.setAttribute("aria-selected", String(each === open.at)));
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
  const { take } = open;
  closeOffer();
  await chooseTake(take, index);
}

/** Puts a take into the text. */
export async function chooseTake(take, index) {
  const answer = await takeStep("choose_take", { take_id: take.id, index });
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
  const { take, start, at, surface } = open;
  placeAt(surface, sheet.editor.range(start, start + take.candidates[at].text.length).getBoundingClientRect());
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

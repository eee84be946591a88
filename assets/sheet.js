// The open section: its title, brief, length, status and text, and its way to the store.

import { command } from "./commands.js";
import { chooseText, note, unnote } from "./dialogs.js";
import { $, grow, say, show } from "./dom.js";
import { Editor } from "./editor.js";
import { Keeper } from "./keeper.js";
import { glow } from "./marks.js";
import { change, toUnits } from "./places.js";
import { desk, on, lineOf, setLine, setOutline, tell } from "./state.js";
import { paced } from "./timing.js";

const FIELD_NAMES = { title: "Title", brief: "Brief", target_words: "Length", status: "Status", style: "Style", notes: "Notes", dial: "Dial" };
const MARGIN = 24; // pixels that stay free above and below what is to be seen
const MAX_TARGET_WORDS = 5000;
const SAID = {
  typing: "…",
  saving: "Saving",
  saved: "Saved",
  away: "Not saved – the desk is not running. Your words are kept in this browser.",
};

/** Both null while no section is open. */
export const sheet = { editor: null, keeper: null };

export function openSection(section) {
  desk.section = section;
  // A new element: the browser's undo belongs to the section it was typed in.
  const root = $("text").cloneNode(false);
  $("text").replaceWith(root);
  const own = new Editor(root, typed);
  sheet.editor = own;
  // A section that was left may still be on its way to the store: its keeper goes on with its own editor, out of sight.
  const here = () => sheet.editor === own;
  sheet.keeper = new Keeper(section, desk.outline.created, {
    text: () => own.text,
    append: (text, event) => (here() ? appendText(text, event) : own.append(text)),
    step: (answer) => (here() ? showStep(answer) : own.set(answer.text)),
    adopt: (fresh) => (here() ? adoptSection(fresh) : own.set(fresh.text)),
    saved: (state, sentence) => here() && drawSaved(state, sentence),
    stale: askSides,
    changed: (line) => {
      setLine(line);
      if (here()) tell("facts");
    },
    invalid: (fields) => here() && "target_words" in fields && $("target").setAttribute("aria-invalid", "true"),
    gone: (sentence) => (here() ? goneSection(sentence) : note(sentence)),
  });
  adoptSection(section);
  drawSaved("saved");
  unnote("write");
  unnote("length");
  $("scroll").scrollTop = 0;
  sheet.keeper.restore(section);
  tell("lists");
  growBrief(); // its height is known from here on
  tell("section");
}

/** The facts and the text of the open section, as the server has them. Fields being typed in stay. */
function adoptSection(section) {
  desk.section = { ...desk.section, ...section };
  for (const [name, id] of Object.entries(FIELDS)) {
    const value = String(section[name]);
    if ($(id).value !== value) $(id).value = value;
  }
  $("target").removeAttribute("aria-invalid");
  growBrief();
  sheet.editor.set(section.text);
  tell("adopted");
}

/** The text after an undo, a take …: what is new in it glows, and the cursor goes where the change begins. */
function showStep({ section, text, place }) {
  const { editor } = sheet;
  const { start, come } = change(editor.text, text);
  editor.set(text);
  desk.section = { ...desk.section, ...section };
  const range = editor.range(start, start + come);
  if (come) glow(range);
  if (document.activeElement === editor.root) editor.choose(toUnits(text, place));
  reveal(range);
  tell("adopted");
  countSoon();
}

/** Scrolls as little as is needed to have the beginning of a range in sight. */
export function reveal(range) {
  if (desk.view !== "edit") return;
  const line = range.startContainer.nodeType === Node.TEXT_NODE ? range.startContainer.parentElement : range.startContainer;
  const box = range.getClientRects()[0] ?? line.getBoundingClientRect();
  const scroll = $("scroll");
  const { top, bottom: end, right } = scroll.getBoundingClientRect();
  const over = $("panel").getBoundingClientRect(); // on a phone it lies over the text
  const bottom = over.height && over.left < right ? Math.min(end, over.top) : end;
  if (box.top < top + MARGIN || box.bottom > bottom - MARGIN) scroll.scrollTop += box.top - top - (bottom - top) / 3;
}

export function closeSection() {
  if (!sheet.keeper) return;
  tell("leaving");
  sheet.keeper.close();
  sheet.keeper = null;
  sheet.editor = null;
  desk.section = null;
  tell("section");
}

export function goneSection(sentence) {
  if (!desk.section) return;
  closeSection();
  note(sentence ?? "This section does not exist any more.");
  tell("lists");
  tell("gone");
}

export function askSides(mine, theirs, textDiffers) {
  if (!textDiffers && mine.fields) {
    const lines = (fields) => Object.entries(fields).map(([name, value]) => `${FIELD_NAMES[name]}: ${value}`).join("\n");
    return chooseText(lines(mine.fields), lines(Object.fromEntries(Object.keys(mine.fields).map((name) => [name, theirs[name]]))));
  }
  return chooseText(mine.text, theirs.text);
}

function typed() {
  sheet.keeper.edit();
  tell("typed");
  countSoon();
}

function appendText(text, event) {
  const range = sheet.editor.append(text);
  tell("appended", { range, text, event });
  countSoon();
}

const countSoon = paced(() => {
  tell("counted");
  const line = lineOf(desk.section?.id);
  if (!line || !sheet.editor || line.words === sheet.editor.words) return;
  line.words = sheet.editor.words;
  if (line.words && line.status === "planned") setLine({ ...line, status: "draft" });
  else setOutline(desk.outline);
}, 250);

export function drawSaved(state, sentence) {
  $("saved").dataset.state = state;
  say($("saved"), sentence ?? SAID[state]);
}

/** The field that says what is to be written. */
export function focusOpening() {
  (desk.model.instructs ? $("brief") : $("text")).focus();
}

const growBrief = () => grow($("brief"));

const FIELDS = { title: "section-title", brief: "brief", target_words: "target", status: "status" };

/** Changes a field of the open section from elsewhere. */
export function setField(name, value) {
  if (name in FIELDS) $(FIELDS[name]).value = String(value);
  desk.section[name] = value;
  sheet.keeper.change({ [name]: value });
  if (name === "target_words") tell("counted");
  growBrief();
}

const isTarget = (words) => Number.isInteger(words) && words >= 1 && words <= MAX_TARGET_WORDS;

/** The length that stands in a field, or null; the field and a note say what is wrong with it. */
export function readTarget(field) {
  const target = Number(field.value);
  if (isTarget(target)) {
    field.removeAttribute("aria-invalid");
    unnote("length");
    return target;
  }
  field.setAttribute("aria-invalid", "true");
  note(`A length is a whole number of words, from 1 to ${MAX_TARGET_WORDS}.`, "length");
  return null;
}

/** A length counts as soon as it is one, for who writes from within the field; what is none is said when it is left. */
function typeTarget() {
  if (isTarget(Number($("target").value))) changeTarget();
}

function changeTarget() {
  const target = readTarget($("target"));
  if (target !== null) setField("target_words", target);
}

function onField(id, name) {
  $(id).addEventListener("input", () => {
    sheet.keeper?.change({ [name]: $(id).value });
    if (name === "brief") growBrief();
    else {
      const line = lineOf(desk.section?.id);
      if (line) line[name] = $(id).value;
      tell("lists");
    }
  });
}

/** Shows what a model can do: one that only continues text reads no brief. */
function fitTo(model) {
  show($("brief-name"), model.instructs);
  show($("brief"), model.instructs);
  show($("no-brief"), !model.instructs);
  $("text").dataset.placeholder = model.instructs
    ? "Write here, or let the desk begin."
    : "Write the opening words here; the desk goes on from them.";
}

const opened = () => Boolean(sheet.keeper);

command({ id: "save", title: "Save now", group: "Desk", keys: "Mod+S", run: () => sheet.keeper?.flush() });
command({ id: "to-text", title: "Go to the text", group: "Section", when: opened, run: () => $("text").focus() });
command({ id: "to-title", title: "Rename the section", group: "Section", when: opened, run: () => $("section-title").select() });
command({ id: "to-brief", title: "Go to the brief", group: "Section", when: () => opened() && desk.model?.instructs, run: () => $("brief").focus() });
command({ id: "to-length", title: "Change the length", group: "Section", when: opened, run: () => $("target").select() });
onField("section-title", "title");
onField("brief", "brief");
onField("status", "status");
$("target").addEventListener("input", typeTarget);
$("target").addEventListener("change", changeTarget);
addEventListener("resize", growBrief);
on("model", fitTo);
on("lists", () => {
  show($("sheet"), Boolean(desk.section) && desk.view !== "outline");
  const line = lineOf(desk.section?.id);
  if (line && document.activeElement !== $("status")) $("status").value = line.status;
});

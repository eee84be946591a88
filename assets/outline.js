// The sections of the open document: added, moved, deleted, gone through.

import { typeAhead } from "./ahead.js";
import { answered } from "./api.js";
import { attempt } from "./asking.js";
import { command, commandSource } from "./commands.js";
import { confirm, speak } from "./dialogs.js";
import { $, show } from "./dom.js";
import { focusCurrent, go, inTurn } from "./documents.js";
import { keyOf } from "./keyed.js";
import { changeLine, flushLines } from "./lines.js";
import { drawOutline, sectionName, stepThrough } from "./lists.js";
import { openMenu } from "./menu.js";
import { closeSection, sheet } from "./sheet.js";
import { closeDrawer } from "./side.js";
import { sortable } from "./sortable.js";
import { desk, lineOf, on, setOutline } from "./state.js";
import { nextStatus } from "./statuses.js";
import { setView } from "./views.js";
import { words } from "./words.js";
import { canWrite, write } from "./writing.js";

const TARGET_WORDS = 150; // of a first section; a later one takes over that of the open one

let moves = 0; // asked for and not answered yet
let standing = null; // the sections as the desk has them while moves are under way

/** Behind the open section; the cursor goes to its title. */
export const addSection = () =>
  typeAhead(async () => {
    const added = await newSection(desk.section?.id ?? desk.outline.sections.at(-1)?.id);
    if (!added) return null;
    setView("edit");
    await go(desk.outline.id, added.id);
    closeDrawer();
    return $("section-title");
  });

/** At the end, and left alone. */
export const addLastSection = () => newSection(desk.outline.sections.at(-1)?.id);

/** The line of a section that is added behind another one, or at the beginning; undefined where that is refused. */
async function newSection(after = null) {
  let known;
  const answer = await inTurn(() => {
    const { id, revision, sections } = desk.outline;
    known = new Set(sections.map((section) => section.id));
    const target_words = desk.section?.target_words ?? TARGET_WORDS;
    return attempt("add_section", { document_id: id, revision, after, target_words });
  });
  if (!answer) return undefined;
  setOutline(answer.document);
  return answer.document.sections.find((section) => !known.has(section.id));
}

/** step: 1 down, −1 up, or {to: its place among the others}. */
export async function moveSection(id, step) {
  const { sections } = desk.outline;
  const at = sections.findIndex((section) => section.id === id);
  const position = step.to ?? at + step;
  if (position < 0 || position >= sections.length || position === at) return;
  const moved = [...sections];
  moved.splice(position, 0, ...moved.splice(at, 1));
  if (!moves) standing = sections;
  moves += 1;
  setOutline({ ...desk.outline, sections: moved }); // seen at once; the last answer puts it right
  await inTurn(() => sendMove(id, position));
  moves -= 1;
  if (!moves && desk.outline) setOutline({ ...desk.outline, sections: standing });
}

async function sendMove(id, position) {
  const revision = desk.outline?.revision;
  const answer = await attempt("move_section", { section_id: id, revision, position });
  if (!desk.outline) return; // deleted elsewhere meanwhile
  if (answer) {
    standing = answer.document.sections;
    desk.outline.revision = answer.document.revision;
    speak(`“${sectionName(lineOf(id))}” is section ${position + 1} of ${standing.length}.`);
  } else if (desk.outline.revision !== revision) standing = desk.outline.sections; // refused: it was changed elsewhere
}

async function removeSection(id) {
  const section = lineOf(id);
  if (section.words || section.brief) {
    const sure = await confirm(
      `Delete the section “${sectionName(section)}”?`,
      section.words
        ? `Its ${words(section.words)} leave the document; they stay in the database's history.`
        : "Its brief goes with it.",
      "Delete",
    );
    if (!sure) return;
  }
  const { keeper } = sheet;
  let here = id === keeper?.id;
  await (here ? keeper.flush() : flushLines());
  const revision = here ? keeper.revision : lineOf(id).revision;
  const index = desk.outline.sections.findIndex((each) => each.id === id);
  const answer = await inTurn(async () => {
    here = id === sheet.keeper?.id; // another one may have been opened while it waited for its turn
    if (here) closeSection(); // first: nothing beside it may ask for a section that is gone
    await answered();
    return attempt("delete_section", { section_id: id, revision });
  });
  if (!answer) {
    if (here) await go(desk.outline.id, id, true);
    return;
  }
  setOutline(answer.document);
  const next = answer.document.sections[Math.min(index, answer.document.sections.length - 1)];
  if (here && next) await go(answer.document.id, next.id, true);
  if (desk.view !== "outline") focusCurrent("outline");
}

export function cycleStatus(id) {
  changeLine(id, { status: nextStatus(lineOf(id).status) });
}

/** Opens a section where it can be edited; it is read where the document is being read. */
export async function openInEditor(id) {
  if (desk.view === "outline") setView("edit");
  await go(desk.outline.id, id);
}

async function renameSection(id) {
  setView("edit");
  await go(desk.outline.id, id);
  $("section-title").select();
}

async function writeSection(id) {
  setView("edit");
  await go(desk.outline.id, id);
  if (canWrite()) write();
}

/** What can be done with a section, under a button of its line. */
export function sectionMenu(id, button) {
  const { sections } = desk.outline;
  const at = sections.findIndex((section) => section.id === id);
  openMenu(button, `The section “${sectionName(lineOf(id))}”`, [
    { label: "Rename", run: () => renameSection(id) },
    { label: "Write this section", off: desk.engine?.state !== "ready", run: () => writeSection(id) },
    null,
    { label: "Move up", off: at === 0, run: () => moveSection(id, -1) },
    { label: "Move down", off: at === sections.length - 1, run: () => moveSection(id, 1) },
    null,
    { label: "Delete …", run: () => removeSection(id) },
  ]);
}

/** step: 1 to the next section, −1 to the one before. */
function neighbour(step) {
  const sections = desk.outline?.sections ?? [];
  const next = sections[sections.findIndex((section) => section.id === desk.section?.id) + step];
  if (next) go(desk.outline.id, next.id);
}

function draw() {
  const { outline } = desk;
  show($("outline-group"), Boolean(outline));
  show($("no-sections"), outline?.sections.length === 0);
  if (!outline) return;
  drawOutline(outline, desk.section?.id, {
    jobOf: (id) => desk.jobs.find((job) => job.section_id === id),
    open: openInEditor,
    cycle: cycleStatus,
    menu: sectionMenu,
  });
}

const opened = () => Boolean(desk.section);
const inDocument = () => Boolean(desk.outline);
/** The section that a key in the list is about, else the open one. */
const meant = (from) => keyOf(from) ?? desk.section?.id;

command({ id: "section-add", title: "Add a section", group: "Section", when: inDocument, run: addSection });
command({ id: "section-next", title: "Next section", group: "Section", keys: "Alt+PageDown", when: opened, run: () => neighbour(1) });
command({ id: "section-before", title: "Previous section", group: "Section", keys: "Alt+PageUp", when: opened, run: () => neighbour(-1) });
command({ id: "section-up", title: "Move the section up", group: "Section", keys: "Alt+ArrowUp", where: ["outline", "plan-cards"], when: opened, run: (from) => moveSection(meant(from), -1) });
command({ id: "section-down", title: "Move the section down", group: "Section", keys: "Alt+ArrowDown", where: ["outline", "plan-cards"], when: opened, run: (from) => moveSection(meant(from), 1) });
command({ id: "section-delete", title: "Delete the section", group: "Section", keys: "Delete", where: "outline", when: opened, run: (from) => removeSection(meant(from)) });
command({ id: "section-status", title: () => `Mark the section as ${nextStatus(lineOf(desk.section?.id)?.status ?? "done")}`, group: "Section", when: opened, run: () => cycleStatus(desk.section.id) });
command({ id: "row-below", title: "In the list: the line below", group: "Section", keys: "ArrowDown", where: "outline", listed: false, run: () => stepThrough("outline", 1) });
command({ id: "row-above", title: "In the list: the line above", group: "Section", keys: "ArrowUp", where: "outline", listed: false, run: () => stepThrough("outline", -1) });
commandSource(() =>
  (desk.outline?.sections ?? [])
    .filter((section) => section.id !== desk.section?.id)
    .map((section) => ({ id: `section-${section.id}`, title: sectionName(section), group: "Go to section", place: true, run: () => openInEditor(section.id) })),
);
sortable($("outline"), { handle: ".row", scroller: $("outline"), move: (id, position) => moveSection(id, { to: position }) });
on("lists", draw);

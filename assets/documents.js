// The documents, the title of the open one, and the way to a place in it.

import { typeAhead } from "./ahead.js";
import { Away, Refusal, answered, ask, read } from "./api.js";
import { attempt, inquire, sayRefusal } from "./asking.js";
import { command, commandSource } from "./commands.js";
import { chooseText, confirm, note } from "./dialogs.js";
import { $, memory, say, show } from "./dom.js";
import { flushLines } from "./lines.js";
import { documentName, drawDocuments } from "./lists.js";
import { openMenu } from "./menu.js";
import { closeSection, drawSaved, goneSection, openSection, sheet } from "./sheet.js";
import { closeDrawer } from "./side.js";
import { desk, on, setOutline, tell } from "./state.js";
import { later, takeLatest } from "./timing.js";

const FIELD_NAMES = { title: "Title", style: "Style sheet", notes: "Notes", dial: "Dial" };
const EMPTY_DESK = {
  reads: "A document is a list of sections. Each has a title, a brief that says what it is about, and a length. You write it yourself, or the desk sets a first version from the brief, block by block, and you go on from there.",
  continues: "A document is a list of sections. Each has a title and a length. You write the opening words, the desk goes on from them, block by block, and you go on from there.",
};

let opening = 0; // counts openings, so that a slow answer does not overtake a later one
let latest = Promise.resolve(); // the last of them; those that it overtook end with it
let shown = null; // the document whose title stands in the bar
let pending = null; // {id, born, fields, before}: fields of the document that are not saved yet, and what they were
let turns = Promise.resolve(); // the last change of a document that was asked for

// ------------------------------------------------------------------------------------------------------------ places

/** Opens a document, and a section of it: the one it was left at, or the first, where none is named. */
export function go(documentId, sectionId = null, replace = false) {
  latest = open(documentId, sectionId, replace);
  return latest;
}

async function open(documentId, sectionId, replace) {
  const turn = ++opening;
  const { keeper } = sheet;
  if (keeper && sectionId !== keeper.id) await keeper.flush(); // a question about a stale text belongs before its section
  await flushLines();
  if (desk.outline?.id !== documentId) {
    await saveDocument();
    if (pending) return; // the desk is away, and something is not saved yet
    const answer = await attempt("document", { document_id: documentId });
    if (turn !== opening) return latest;
    if (!answer) return;
    closeSection();
    if (!desk.documents.some((card) => card.id === documentId)) await refreshDocuments();
    setOutline(answer.document);
    restorePending();
  }
  const { sections } = desk.outline;
  const wanted =
    sections.find((section) => section.id === sectionId) ??
    sections.find((section) => section.id === Number(memory.get(`place:${documentId}`))) ??
    sections[0];
  const hash = wanted ? `#/${documentId}/${wanted.id}` : `#/${documentId}`;
  if (location.hash !== hash) history[replace ? "replaceState" : "pushState"](null, "", hash);
  if (!wanted) {
    closeSection();
    tell("lists");
    return;
  }
  memory.set(`place:${documentId}`, String(wanted.id));
  if (desk.section?.id === wanted.id) {
    closeDrawer();
    return;
  }
  const heard = desk.heard.get(wanted.id);
  const answer = await attempt("section", { section_id: wanted.id });
  if (turn !== opening) return latest;
  if (!answer) return;
  closeSection();
  openSection(answer.section);
  if (desk.heard.get(wanted.id) !== heard) sheet.keeper.catchUp(); // blocks that locked in meanwhile went to nobody
  closeDrawer();
}

/** The place that the address names, else the first document. */
export async function openPlace(replace) {
  const [, documentId, sectionId] = /^#\/(\d+)(?:\/(\d+))?$/.exec(location.hash) ?? [];
  const known = desk.documents.some((card) => card.id === Number(documentId));
  if (known) await go(Number(documentId), sectionId ? Number(sectionId) : null, replace);
  else if (desk.documents.length) await go(desk.documents[0].id, null, replace);
  else leaveDocument();
}

function leaveDocument() {
  closeSection();
  desk.outline = null;
  history.replaceState(null, "", location.pathname);
  tell("lists");
}

/** After something has gone from a list, the keyboard goes on where the desk now is. */
export function focusCurrent(list) {
  ($(list).querySelector("[aria-current]") ?? document.querySelector(".empty:not([hidden]) button"))?.focus();
}

// --------------------------------------------------------------------------------------------------------- documents

const newDocument = () =>
  typeAhead(async () => {
    const answer = await attempt("create_document", { title: "" });
    if (!answer) return null;
    await refreshDocuments();
    await go(answer.document.id);
    closeDrawer();
    return $("document-title");
  });

async function removeDocument() {
  const { id } = desk.outline;
  const sure = await confirm(
    `Delete “${documentName(desk.outline)}”?`,
    "It leaves the list with all its sections. Its words stay in the database's history.",
    "Delete",
  );
  if (!sure) return;
  await sheet.keeper?.flush();
  const section = desk.section?.id;
  const answer = await inTurn(async () => {
    closeSection(); // first: nothing beside it may ask for a document that is gone
    await answered();
    return attempt("delete_document", { document_id: id, revision: desk.outline.revision });
  });
  if (!answer) {
    await go(id, section, true);
    return;
  }
  desk.documents = answer.documents;
  leaveDocument();
  if (desk.documents.length) await go(desk.documents[0].id, null, true);
  focusCurrent("documents");
}

const listOfDocuments = takeLatest(() => inquire("documents"));

export async function refreshDocuments() {
  const answer = await listOfDocuments();
  if (!answer) return;
  desk.documents = answer.documents;
  tell("lists");
}

/** The documents and the open outline as the server has them now; in turn, as what is being deleted is not opened again. */
export const refreshSoon = later(async () => {
  await refreshDocuments();
  if (await inTurn(refreshOutline)) await go(desk.outline.id, desk.outline.sections[0].id, true);
}, 120);

/** Resolves to whether no section of it is open, and one could be. */
async function refreshOutline() {
  const { outline } = desk;
  if (!outline) return false;
  try {
    const { document: fresh } = await read("document", { document_id: outline.id });
    if (desk.outline?.id !== fresh.id || fresh.revision < desk.outline.revision) return false;
    Object.assign(fresh, pending?.fields);
    setOutline(fresh);
    if (desk.section && !fresh.sections.some((section) => section.id === desk.section.id)) goneSection();
    return !desk.section && fresh.sections.length > 0;
  } catch (error) {
    if (error instanceof Refusal && error.kind === "NotFound") {
      leaveDocument();
      note(error.message);
    } else if (!(error instanceof Away || error instanceof Refusal)) throw error;
    return false;
  }
}

// ------------------------------------------------------------------------------------------------------------ fields

/**
 * Changes fields of the open document: title, style, notes, dial. Not overwritten by anything until they are saved, which
 * is within a second.
 */
export function changeDocument(fields) {
  const { outline } = desk;
  const before = Object.fromEntries(Object.keys(fields).map((name) => [name, outline[name]]));
  pending = { id: outline.id, born: outline.created, fields: { ...pending?.fields, ...fields }, before: { ...before, ...pending?.before } };
  setOutline({ ...outline, ...fields });
  drawSaved("typing");
  saveSoon();
}

export function saveDocument(leaving = false) {
  if (leaving) keepPending();
  return inTurn(() => sendFields(leaving));
}

/** One change of the document after the other, so that none is made on a revision that the one before has changed. */
export function inTurn(change) {
  const done = turns.then(change);
  turns = done.catch(() => {}); // the one who asked hears of it
  return done;
}

const saveSoon = later(saveDocument, 400);

async function sendFields(leaving) {
  const wanted = pending;
  if (!wanted || desk.outline?.id !== wanted.id) return;
  const { id, revision } = desk.outline;
  try {
    const { document: fresh } = await ask("change_document", { document_id: id, revision, ...wanted.fields }, { leaving });
    if (pending === wanted) pending = null;
    memory.remove(keptName(id));
    if (desk.outline?.id !== id) return;
    desk.outline.revision = fresh.revision;
    if (!pending) setOutline(fresh);
    if (!pending && !sheet.keeper?.unsaved) drawSaved("saved");
  } catch (error) {
    if (error instanceof Away) {
      keepPending();
      drawSaved("away"); // tried again when the desk is back
    } else if (error instanceof Refusal && error.kind === "StaleDocument" && error.theirs.id === desk.outline?.id) {
      await settle(wanted, error.theirs);
      await sendFields(leaving);
    } else {
      if (pending === wanted) pending = null;
      sayRefusal(error, "change_document");
    }
  }
}

/** The document was changed elsewhere: other fields, or sections that came or went, are no conflict. */
async function settle(wanted, theirs) {
  const names = Object.keys(wanted.fields).filter((name) => theirs[name] !== wanted.before[name] && theirs[name] !== wanted.fields[name]);
  if (names.length) {
    const lines = (fields) => names.map((name) => `${FIELD_NAMES[name]}: ${fields[name] ?? ""}`).join("\n\n");
    const choice = await chooseText(lines(wanted.fields), lines(theirs), "This document was changed elsewhere");
    for (const name of names) {
      if (choice === "theirs") delete pending.fields[name];
      else if (choice === "both" && name !== "dial") pending.fields[name] = [theirs[name], pending.fields[name]].filter(Boolean).join(name === "title" ? " / " : "\n\n");
      pending.before[name] = theirs[name];
    }
  }
  setOutline({ ...theirs, ...pending.fields });
  if (!Object.keys(pending.fields).length) pending = null;
}

const keptName = (id) => `unsaved-document:${id}`;

function keepPending() {
  if (pending) memory.set(keptName(pending.id), JSON.stringify(pending));
}

/** Takes up what an earlier visit could not save. */
function restorePending() {
  const { id, created } = desk.outline;
  let left;
  try {
    left = JSON.parse(memory.get(keptName(id)));
  } catch {
    left = null;
  }
  // Another data folder may have a document of the same number; its hour of birth tells them apart.
  if (pending || left?.born !== created) return;
  pending = left;
  setOutline({ ...desk.outline, ...left.fields });
  saveDocument();
}

// ----------------------------------------------------------------------------------------------------------- drawing

function documentMenu(id, button) {
  const then = (action) => async () => {
    await go(id);
    if (desk.outline?.id === id) action();
  };
  openMenu(button, `The document “${documentName(desk.documents.find((card) => card.id === id))}”`, [
    { label: "Rename", run: then(renameHere) },
    null,
    { label: "Delete …", run: then(removeDocument) },
  ]);
}

function renameHere() {
  closeDrawer();
  $("document-title").select();
}

function draw() {
  const { outline } = desk;
  drawDocuments(desk.documents, outline?.id, { open: go, menu: documentMenu });
  const title = outline && documentName(outline);
  say($("heading"), title ?? "Galley");
  document.title = outline ? `${title} – Galley` : "Galley";
  show($("named"), Boolean(outline));
  show($("export"), Boolean(outline));
  if (outline) {
    const typing = pending?.fields.title !== undefined || document.activeElement === $("document-title");
    if (!typing || shown !== outline.id) $("document-title").value = outline.title;
    shown = outline.id;
  }
  show($("empty"), !outline);
  say($("empty-says"), desk.model?.instructs === false ? EMPTY_DESK.continues : EMPTY_DESK.reads);
}

const opened = () => Boolean(desk.outline);

command({ id: "document-new", title: "New document", group: "Document", run: newDocument });
command({ id: "document-rename", title: "Rename the document", group: "Document", when: opened, run: renameHere });
command({ id: "document-delete", title: "Delete the document", group: "Document", when: opened, run: removeDocument });
commandSource(() =>
  desk.documents
    .filter((card) => card.id !== desk.outline?.id)
    .map((card) => ({ id: `document-${card.id}`, title: documentName(card), group: "Open document", place: true, run: () => go(card.id) })),
);
$("document-title").addEventListener("input", () => changeDocument({ title: $("document-title").value }));
$("document-title").addEventListener("change", () => saveDocument());
on("lists", draw);
on("gone", refreshSoon);

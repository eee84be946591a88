// The desk: joins lists, editor, live block, dial and the events of the server. Text of the writer and of the model only
// ever becomes text nodes here; the one exception is the reading view, whose HTML the server made safe.

import { Away, Refusal, ask, listen } from "./api.js";
import { DialView } from "./dial.js";
import { chooseText, confirm, note, tellKeys, unnote } from "./dialogs.js";
import { $, el, memory, say, show } from "./dom.js";
import { Editor } from "./editor.js";
import { Island } from "./island.js";
import { Keeper } from "./keeper.js";
import { drawDocuments, drawOutline } from "./lists.js";
import { duration, number, words } from "./words.js";

const LEAST_WORDS = 10; // lacking fewer, a section has reached its target
const still = matchMedia("(prefers-reduced-motion: reduce)");

const desk = {
  documents: [],
  outline: null, // the open document without texts
  section: null, // the open section's facts
  engine: null,
  job: null,
  meter: null, // of the running job, or of the last one
  view: "edit",
  readAll: false,
  follow: true,
  shown: null, // the document whose title stands in the bar
  renaming: null, // a title of the document that is not saved yet
  ended: null, // how the last job ended
  model: null,
};

let editor = null;
let island = null;
let keeper = null;
let opening = 0; // counts openings, so that a slow answer does not overtake a later one
let renamed = Promise.resolve(); // the last save of the document's title

const dial = new DialView(() => soonPredict());

// ------------------------------------------------------------------------------------------------------- helpers

/** Runs a verb; a refusal becomes a sentence on the page. Resolves to null where it was refused. */
async function attempt(verb, given) {
  try {
    const answer = await ask(verb, given);
    unnote("away");
    unnote(verb);
    return answer;
  } catch (error) {
    sayRefusal(error, verb);
    return null;
  }
}

/** What is not a refusal stays an error. */
function sayRefusal(error, verb) {
  if (error instanceof Away) note("The desk is not running. Start Galley again; what you type is kept in this browser.", "away");
  else if (error instanceof Refusal) {
    note(error.message, verb);
    if (error.kind === "StaleDocument" && error.theirs.id === desk.outline?.id) setOutline(error.theirs);
    if (error.kind === "NotFound") refreshSoon();
  } else throw error;
}

function later(action, wait) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, wait);
  };
}

/** Runs an action soon, and at most once in `wait` milliseconds. */
function paced(action, wait) {
  let timer = 0;
  return () => {
    timer ||= setTimeout(() => {
      timer = 0;
      action();
    }, wait);
  };
}

const quiet = () => still.matches || memory.get("quiet") === "yes";
const writingHere = () => desk.job && desk.job.section_id === desk.section?.id;

// ----------------------------------------------------------------------------------------------- documents, outline

function drawLists() {
  drawDocuments(desk.documents, desk.outline?.id, { open: (id) => go(id), remove: removeDocument });
  drawOutline(desk.outline, desk.section?.id, desk.job?.section_id, { open: (id) => go(desk.outline.id, id), move: moveSection, remove: removeSection });
}

function setOutline(outline) {
  desk.outline = outline;
  const card = desk.documents.find((each) => each.id === outline?.id);
  if (card) {
    card.title = outline.title;
    card.words = outline.sections.reduce((all, section) => all + section.words, 0);
  }
  drawLists();
  drawHead();
}

/** New facts of one section, from a save or an event. */
function setLine(line) {
  if (desk.section?.id === line.id) {
    desk.section = { ...desk.section, ...line };
    if (document.activeElement !== $("status")) $("status").value = line.status;
  }
  const index = desk.outline?.sections.findIndex((each) => each.id === line.id) ?? -1;
  if (index >= 0) {
    const { text: _, ...facts } = line;
    desk.outline.sections[index] = { ...desk.outline.sections[index], ...facts };
    setOutline(desk.outline);
  }
}

function drawHead() {
  const { outline } = desk;
  say($("heading"), outline ? outline.title || "Untitled document" : "Galley");
  document.title = outline ? `${outline.title || "Untitled document"} – Galley` : "Galley";
  show($("named"), Boolean(outline));
  show($("download"), Boolean(outline));
  show($("views"), Boolean(desk.section));
  show($("dock"), Boolean(desk.section));
  if (outline) {
    const typing = desk.renaming || document.activeElement === $("document-title");
    if (!typing || desk.shown !== outline.id) $("document-title").value = outline.title;
    desk.shown = outline.id;
    $("download").href = `/desk/export/${outline.id}.md`;
  }
  drawEmpty();
}

function drawEmpty() {
  const place = $("empty");
  const kind = !desk.outline ? "desk" : desk.outline.sections.length ? "" : "document";
  show(place, kind !== "");
  show($("sheet"), Boolean(desk.section));
  if (place.dataset.kind === kind) return;
  place.dataset.kind = kind;
  place.replaceChildren();
  if (kind === "desk") {
    place.append(
      el("h2", {}, "An empty desk"),
      el(
        "p",
        {},
        desk.model?.instructs === false
          ? "A document is a list of sections. Each has a title and a length. You write the opening words, the desk goes on from them, block by block, and you go on from there."
          : "A document is a list of sections. Each has a title, a brief that says what it is about, and a length. You write it yourself, or the desk sets a first version from the brief, block by block, and you go on from there.",
      ),
      el("button", { type: "button", class: "primary", onclick: newDocument }, "Start a document"),
    );
  } else if (kind === "document") {
    place.append(
      el("h2", {}, "No sections yet"),
      el("p", {}, "Add one for each thing this document has to say; a few hundred words each is a good length."),
      el("button", { type: "button", class: "primary", onclick: () => addSection() }, "Add a section"),
    );
  }
}

async function newDocument() {
  const answer = await attempt("create_document", { title: "" });
  if (!answer) return;
  await refreshDocuments();
  await go(answer.document.id);
  closeDrawer();
  $("document-title").focus();
}

async function removeDocument() {
  const { id, title } = desk.outline;
  const sure = await confirm(
    `Delete “${title || "Untitled document"}”?`,
    "It leaves the list with all its sections. Its words stay in the database's history.",
    "Delete",
  );
  if (!sure) return;
  await keeper?.flush();
  const answer = await attempt("delete_document", { document_id: id, revision: desk.outline.revision });
  if (!answer) return;
  desk.documents = answer.documents;
  leaveDocument();
  if (desk.documents.length) await go(desk.documents[0].id, null, true);
  focusCurrent("documents");
}

/** After something has gone from a list, the keyboard goes on where the desk now is. */
function focusCurrent(list) {
  ($(list).querySelector("[aria-current]") ?? $("empty").querySelector("button"))?.focus();
}

function leaveDocument() {
  closeSection();
  desk.outline = null;
  history.replaceState(null, "", location.pathname);
  drawLists();
  drawHead();
}

/** The title as it is typed; not overwritten by anything until it is saved. */
function retitle() {
  const { id, title: before } = desk.outline;
  desk.renaming = { before, ...desk.renaming, id, title: $("document-title").value };
  desk.outline.title = desk.renaming.title;
  setOutline(desk.outline);
  renameSoon();
}

/** Saves the title; one save after the other, so that none is made on a revision that the one before has changed. */
function rename(leaving = false) {
  renamed = renamed.then(() => sendTitle(leaving));
  return renamed;
}

async function sendTitle(leaving) {
  const wanted = desk.renaming;
  if (!wanted || desk.outline?.id !== wanted.id) return;
  const { id, revision } = desk.outline;
  try {
    const { document: fresh } = await ask("rename_document", { document_id: id, revision, title: wanted.title }, { leaving });
    if (desk.renaming === wanted) desk.renaming = null;
    if (desk.outline?.id !== id) return;
    desk.outline.revision = fresh.revision;
    if (!desk.renaming) setOutline(fresh);
  } catch (error) {
    if (error instanceof Away) {
      drawSaved("away"); // tried again when the desk is back
      return;
    }
    const onlySections = error.kind === "StaleDocument" && error.theirs.id === id && error.theirs.title === wanted.before;
    if (onlySections && desk.outline?.id === id) {
      setOutline({ ...error.theirs, title: wanted.title }); // sections came or went elsewhere: no conflict with a title
      await sendTitle(leaving);
      return;
    }
    if (desk.renaming === wanted) desk.renaming = null;
    sayRefusal(error, "rename_document");
  }
}

const renameSoon = later(rename, 400);

async function addSection() {
  const sections = desk.outline.sections;
  const after = desk.section?.id ?? sections.at(-1)?.id ?? null;
  const known = new Set(sections.map((section) => section.id));
  const answer = await attempt("add_section", {
    document_id: desk.outline.id,
    revision: desk.outline.revision,
    after,
    target_words: desk.section?.target_words ?? 150,
  });
  if (!answer) return;
  setOutline(answer.document);
  const added = answer.document.sections.find((section) => !known.has(section.id));
  await go(answer.document.id, added.id);
  closeDrawer();
  $("section-title").focus();
}

async function moveSection(section, position) {
  const answer = await attempt("move_section", { section_id: section.id, revision: desk.outline.revision, position });
  if (answer) setOutline(answer.document);
}

async function removeSection(section) {
  const name = section.title || "Untitled section";
  if (section.words || section.brief) {
    const sure = await confirm(
      `Delete the section “${name}”?`,
      section.words
        ? `Its ${words(section.words)} leave the document; they stay in the database's history.`
        : "Its brief goes with it.",
      "Delete",
    );
    if (!sure) return;
  }
  const here = section.id === desk.section?.id;
  if (here) await keeper?.flush();
  const revision = here ? keeper.revision : section.revision;
  const index = desk.outline.sections.findIndex((each) => each.id === section.id);
  const answer = await attempt("delete_section", { section_id: section.id, revision });
  if (!answer) return;
  if (here) closeSection();
  setOutline(answer.document);
  const next = answer.document.sections[Math.min(index, answer.document.sections.length - 1)];
  if (here && next) await go(answer.document.id, next.id, true);
  focusCurrent("outline");
}

async function refreshDocuments() {
  try {
    desk.documents = (await ask("documents")).documents;
    drawLists();
  } catch (error) {
    if (!(error instanceof Away || error instanceof Refusal)) throw error;
  }
}

const refreshSoon = later(async () => {
  await refreshDocuments();
  const { outline } = desk;
  if (!outline) return;
  try {
    const { document: fresh } = await ask("document", { document_id: outline.id });
    if (desk.outline?.id !== fresh.id || fresh.revision < desk.outline.revision) return;
    if (desk.renaming) fresh.title = desk.renaming.title;
    setOutline(fresh);
    if (desk.section && !fresh.sections.some((section) => section.id === desk.section.id)) goneSection();
    if (!desk.section && fresh.sections.length) await go(fresh.id, fresh.sections[0].id, true);
  } catch (error) {
    if (error instanceof Refusal && error.kind === "NotFound") {
      leaveDocument();
      note(error.message);
    } else if (!(error instanceof Away || error instanceof Refusal)) throw error;
  }
}, 120);

// -------------------------------------------------------------------------------------------------------- opening

/** Opens a document, and a section of it: the first one where none is named. */
async function go(documentId, sectionId = null, replace = false) {
  const turn = ++opening;
  if (keeper && sectionId !== keeper.id) await keeper.flush(); // a question about a stale text belongs before its section
  if (desk.outline?.id !== documentId) {
    await rename();
    if (desk.renaming) return; // the desk is away, and the title not saved yet
    const answer = await attempt("document", { document_id: documentId });
    if (!answer || turn !== opening) return;
    closeSection();
    if (!desk.documents.some((card) => card.id === documentId)) await refreshDocuments();
    setOutline(answer.document);
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
    drawHead();
    return;
  }
  memory.set(`place:${documentId}`, String(wanted.id));
  if (desk.section?.id === wanted.id) {
    closeDrawer();
    return;
  }
  const answer = await attempt("section", { section_id: wanted.id });
  if (!answer || turn !== opening) return;
  closeSection();
  openSection(answer.section);
  closeDrawer();
}

function openSection(section) {
  desk.section = section;
  // A new element: the browser's undo belongs to the section it was typed in.
  const root = $("text").cloneNode(false);
  $("text").replaceWith(root);
  const own = new Editor(root, typed);
  editor = own;
  island = new Island($("island"), own);
  // A section that was left may still be on its way to the store: its keeper goes on with its own editor, out of sight.
  const here = () => editor === own;
  keeper = new Keeper(section, desk.outline.created, {
    text: () => own.text,
    append: (text, event) => (here() ? appendText(text, event) : own.append(text)),
    adopt: (fresh) => (here() ? adoptSection(fresh) : own.set(fresh.text)),
    saved: (state, sentence) => here() && drawSaved(state, sentence),
    stale: askSides,
    changed: (line) => {
      setLine(line);
      if (here()) soonPredict();
    },
    invalid: (fields) => here() && "target_words" in fields && $("target").setAttribute("aria-invalid", "true"),
    gone: (sentence) => (here() ? goneSection(sentence) : note(sentence)),
  });
  adoptSection(section);
  drawSaved("saved");
  unnote("write");
  unnote("length");
  $("scroll").scrollTop = 0;
  desk.follow = true;
  keeper.restore(section);
  drawLists();
  drawHead();
  growBrief(); // its height is known from here on
  drawWriting();
  if (writingHere()) {
    drawStep(desk.job.step);
    followTail();
  }
  if (desk.view === "read") readView();
  soonPredict();
}

/** The facts and the text of the open section, as the server has them. Fields being typed in stay. */
function adoptSection(section) {
  desk.section = { ...desk.section, ...section };
  const fields = { "section-title": section.title, brief: section.brief, target: String(section.target_words), status: section.status };
  for (const [id, value] of Object.entries(fields)) {
    if ($(id).value !== value) $(id).value = value;
  }
  $("target").removeAttribute("aria-invalid");
  growBrief();
  editor.set(section.text);
  island.place();
  drawWriting();
}

function closeSection() {
  if (!keeper) return;
  keeper.close();
  island.clear();
  keeper = null;
  editor = null;
  island = null;
  desk.section = null;
}

function goneSection(sentence) {
  if (!desk.section) return;
  closeSection();
  note(sentence ?? "This section does not exist any more.");
  drawHead();
  refreshSoon();
}

function askSides(mine, theirs, textDiffers) {
  if (!textDiffers && mine.fields) {
    const show = (fields) => Object.entries(fields).map(([name, value]) => `${FIELD_NAMES[name]}: ${value}`).join("\n");
    return chooseText(show(mine.fields), show(Object.fromEntries(Object.keys(mine.fields).map((name) => [name, theirs[name]]))));
  }
  return chooseText(mine.text, theirs.text);
}

const FIELD_NAMES = { title: "Title", brief: "Brief", target_words: "Length", status: "Status" };

// --------------------------------------------------------------------------------------------------------- typing

const countSoon = paced(() => {
  drawWriting();
  const line = desk.outline?.sections.find((each) => each.id === desk.section?.id);
  if (line && editor && line.words !== editor.words) {
    line.words = editor.words;
    if (line.words && line.status === "planned") setLine({ ...line, status: "draft" });
    else setOutline(desk.outline);
  }
}, 250);

function typed() {
  keeper.edit();
  if (writingHere()) {
    desk.follow = false;
    requestAnimationFrame(() => island?.place());
  }
  countSoon();
}

function drawSaved(state, sentence) {
  const place = $("saved");
  place.dataset.state = state;
  const says = { typing: "…", saving: "Saving", saved: "Saved", away: "Not saved – the desk is not running. Your words are kept in this browser." };
  say(place, sentence ?? says[state]);
}

function growBrief() {
  const brief = $("brief");
  brief.style.height = "auto";
  brief.style.height = `${brief.scrollHeight}px`;
}

function changeTarget() {
  const target = Number($("target").value);
  if (!Number.isInteger(target) || target < 1 || target > 5000) {
    $("target").setAttribute("aria-invalid", "true");
    note("A length is a whole number of words, from 1 to 5000.", "length");
    return;
  }
  $("target").removeAttribute("aria-invalid");
  unnote("length");
  keeper.change({ target_words: target });
  desk.section.target_words = target;
  drawWriting();
}

// -------------------------------------------------------------------------------------------------------- writing

async function write() {
  if (desk.job) {
    stop();
    return;
  }
  if (!keeper) return;
  const { section } = desk;
  setView("edit");
  await Promise.all([rename(), keeper.flush()]);
  if (keeper.unsaved || keeper.id !== section.id) return;
  desk.follow = true;
  $("write").disabled = true;
  const answer = await attempt("write", { section_id: section.id, ...dial.request });
  $("write").disabled = false;
  drawWriting();
  if (!answer && !section.brief && !section.title) focusOpening();
}

function stop() {
  if (!desk.job || desk.job.stopping) return;
  desk.job.stopping = true;
  drawWriting();
  attempt("stop", { job: desk.job.job });
}

function drawStep(step) {
  if (!island || !writingHere()) return;
  if (step) island.draw(step.slots, { quiet: quiet() });
  else if (!island.open) island.mask(desk.job.dial?.block_size ?? 8);
  island.place();
  if (step) followTail();
}

function appendText(text, event) {
  const range = editor.append(text);
  if (writingHere() && desk.job) island.mask(desk.job.dial?.block_size ?? 8);
  island.place();
  if (event) {
    lockedLook(range);
    announce(text);
  }
  countSoon();
  followTail();
  if (desk.view === "read") readSoon();
}

/** A locked block glows for a moment, without an element of its own in the text. */
function lockedLook(range) {
  if (quiet() || !CSS.highlights) return;
  const glow = CSS.highlights.get("locked") ?? new Highlight();
  glow.add(range);
  CSS.highlights.set("locked", glow);
  setTimeout(() => glow.delete(range), 700);
}

/** One polite message for each locked block; old ones go. */
function announce(text) {
  const log = $("spoken");
  log.append(el("p", {}, text.trim()));
  while (log.childElementCount > 3) log.firstElementChild.remove();
}

/** Keeps the end of the text in sight, until the writer scrolls away or types. */
function followTail() {
  if (!desk.follow || desk.view !== "edit" || !island) return;
  const scroll = $("scroll");
  const tail = (island.open ? $("island") : editor.root).getBoundingClientRect().bottom + 40;
  const edge = scroll.getBoundingClientRect().bottom;
  if (tail > edge) {
    scroll.scrollTop += tail - edge;
    scroll.dataset.top = String(scroll.scrollTop);
  }
}

function noticeScroll() {
  const scroll = $("scroll");
  const before = Number(scroll.dataset.top ?? 0);
  const now = scroll.scrollTop;
  scroll.dataset.top = String(now);
  $("main").classList.toggle("scrolled", now > 0);
  if (!writingHere()) return;
  if (now < before - 2) desk.follow = false;
  else if (now > before && scroll.scrollHeight - scroll.clientHeight - now < 60) desk.follow = true;
}

function drawWriting() {
  const { section, job, engine, meter } = desk;
  if (!section) return;
  const here = writingHere();
  const count = editor ? editor.words : section.words;
  const lacking = section.target_words - count;
  const button = $("write");
  button.classList.toggle("stop", Boolean(job));
  button.setAttribute("aria-keyshortcuts", job ? "Escape" : "Control+Enter");
  say($("write-key"), job ? "Esc" : "Ctrl ⏎");
  let [label, much] = ["Write", ` ${words(section.target_words)}`];
  if (job) [label, much] = [job.stopping ? "Stopping" : "Stop", ""];
  else if (count > 0) [label, much] = ["Continue", lacking >= LEAST_WORDS ? `, ${words(lacking)}` : ""];
  say($("write-label"), label);
  say($("write-words"), much);
  button.disabled = job ? Boolean(job.stopping) : engine?.state !== "ready";

  say($("meter-words"), `${number(count)} of ${number(section.target_words)}`);
  const shown = here || meter?.section_id === section.id ? meter : null;
  say($("meter-speed"), speeds(shown));
  say($("meter-nfe"), shown?.tokens ? shown.nfe_per_token.toFixed(2) : "");
  say($("meter-left-name"), here ? "Time left" : "Time");
  say($("meter-left"), here ? (shown?.seconds_left == null ? "…" : duration(shown.seconds_left)) : shown?.seconds ? duration(shown.seconds) : "");
  drawEngine();
}

function speeds(meter) {
  if (!meter?.tokens) return "";
  const first = meter.first_block_tokens_per_second ? `${meter.first_block_tokens_per_second.toFixed(1)} first` : "";
  const steady = meter.tokens_per_second ? meter.tokens_per_second.toFixed(1) : "";
  return steady && first ? `${steady}, ${first}` : steady || first;
}

function drawEngine() {
  const { engine, job, section } = desk;
  if (!engine) return;
  $("engine").dataset.state = job ? "writing" : engine.state;
  let line = engine.sentence;
  if (job && !writingHere()) line = `“${job.section_title || "The untitled section"}” is being written.`;
  else if (job?.waiting) line = engine.sentence;
  else if (job?.reading) line = `The model is reading: ${number(job.reading.done)} of ${number(job.reading.total)} tokens.`;
  else if (job) line = job.left_out?.length ? job.left_out.join(" ") : "Writing; every block that locks in is saved.";
  else if (desk.ended && desk.ended.section_id === section?.id && desk.ended.sentence) line = desk.ended.sentence;
  say($("engine-line"), line);
  const fetching = engine.state === "preparing" && !job;
  show($("engine-bar"), fetching);
  if (fetching && engine.total) $("engine-bar").value = engine.done / engine.total;
  else $("engine-bar").removeAttribute("value");
  show($("engine-retry"), engine.state === "failed");
}

const soonPredict = later(async () => {
  if (!keeper || desk.job || desk.engine?.state !== "ready") return;
  const id = keeper.id;
  try {
    const answer = await ask("predict", { section_id: id, ...(dial.own ? { dial: dial.own } : {}) });
    if (keeper?.id === id) dial.predicted(answer.stops, answer.seconds);
  } catch (error) {
    if (!(error instanceof Away || error instanceof Refusal)) throw error;
  }
}, 350);

// -------------------------------------------------------------------------------------------------------- reading

function setView(view) {
  if (desk.view === view) return;
  desk.view = view;
  $("view-edit").setAttribute("aria-pressed", String(view === "edit"));
  $("view-read").setAttribute("aria-pressed", String(view === "read"));
  $("sheet").classList.toggle("is-reading", view === "read");
  show($("edit"), view === "edit");
  show($("read"), view === "read");
  if (view === "read") readView();
  else island?.place();
}

async function readView() {
  await keeper?.flush();
  const given = desk.readAll ? { document_id: desk.outline?.id } : { section_id: desk.section?.id };
  const answer = await attempt("read", given);
  if (!answer) return;
  // Made by app/render.py, which lets no HTML of writer or model through; scripts would not run either way.
  const parsed = new DOMParser().parseFromString(answer.html, "text/html");
  $("reading").replaceChildren(...parsed.body.childNodes);
  if (!$("reading").childNodes.length) $("reading").append(el("p", { class: "faint" }, "Nothing has been written yet."));
}

const readSoon = later(readView, 300);

function setReadAll(all) {
  desk.readAll = all;
  $("read-section").setAttribute("aria-pressed", String(!all));
  $("read-document").setAttribute("aria-pressed", String(all));
  readView();
}

// --------------------------------------------------------------------------------------------------------- events

function onEvent(event) {
  const here = event.section_id === desk.section?.id;
  switch (event.type) {
    case "engine":
      desk.engine = event;
      if (event.state === "ready") soonPredict();
      drawWriting();
      break;
    case "reading":
      if (desk.job?.job === event.job) desk.job.reading = { done: event.done, total: event.total };
      drawEngine();
      break;
    case "step":
      if (desk.job?.job !== event.job) break;
      desk.job.step = event;
      desk.job.reading = null;
      desk.meter = { ...event.meter, section_id: event.section_id };
      drawStep(event);
      drawWriting();
      break;
    case "locked":
      if (desk.job?.job === event.job) desk.job.step = null;
      desk.meter = { ...event.meter, section_id: event.section_id };
      if (here) keeper.locked(event);
      else refreshSoon();
      break;
    case "job":
      onJob(event);
      break;
    case "changed":
      if (here) keeper.heard(event.revision);
      else if (event.section_id === null || event.document_id === desk.outline?.id) refreshSoon();
      else refreshDocumentsSoon();
      break;
    default:
      break;
  }
}

const refreshDocumentsSoon = later(refreshDocuments, 200);

function onJob(event) {
  if (event.state === "running") {
    const title = desk.outline?.sections.find((section) => section.id === event.section_id)?.title;
    desk.job = { ...desk.job, ...event, section_title: title ?? desk.job?.section_title ?? "", waiting: Boolean(event.sentence) };
    desk.ended = null;
    desk.meter = { ...event.meter, section_id: event.section_id };
    if (desk.job.waiting) island?.clear(); // what was proposed went with the model process
    drawStep(null);
    followTail();
  } else {
    desk.job = null;
    desk.ended = event;
    desk.meter = { ...event.meter, section_id: event.section_id };
    island?.clear();
    if (event.state === "failed") note(event.sentence);
    refreshSoon();
    soonPredict();
  }
  drawLists();
  drawWriting();
}

async function come() {
  let state;
  try {
    state = await ask("state");
  } catch (error) {
    if (error instanceof Away) return;
    if (error instanceof Refusal) {
      note(error.message);
      return;
    }
    throw error;
  }
  const first = !desk.model;
  Object.assign(desk, { documents: state.documents, engine: state.engine, job: state.job });
  if (state.job) desk.meter = { ...state.job.meter, section_id: state.job.section_id };
  if (desk.model?.id !== state.model.id) fitTo(state.model); // started again, the desk may have another one
  if (first) await openPlace(true);
  else {
    unnote("away");
    refreshSoon();
    if (!desk.job) island?.clear();
    else drawStep(desk.job.step);
    await rename();
    await keeper?.flush();
    await keeper?.catchUp();
  }
  drawLists();
  drawHead();
  drawWriting();
}

/** Shows what a model can do: one that only continues text reads no brief. */
function fitTo(model) {
  desk.model = model;
  dial.begin(model);
  show($("brief-name"), model.instructs);
  show($("brief"), model.instructs);
  show($("no-brief"), !model.instructs);
  $("text").dataset.placeholder = model.instructs
    ? "Write here, or let the desk begin."
    : "Write the opening words here; the desk goes on from them.";
}

/** The field that says what is to be written. */
function focusOpening() {
  (desk.model.instructs ? $("brief") : $("text")).focus();
}

async function openPlace(replace) {
  const [, documentId, sectionId] = /^#\/(\d+)(?:\/(\d+))?$/.exec(location.hash) ?? [];
  const known = desk.documents.some((card) => card.id === Number(documentId));
  if (known) await go(Number(documentId), sectionId ? Number(sectionId) : null, replace);
  else if (desk.documents.length) await go(desk.documents[0].id, null, replace);
  else leaveDocument();
}

// ---------------------------------------------------------------------------------------------------------- wiring

function openDrawer() {
  document.body.classList.add("drawer");
  show($("veil"), true);
  $("main").inert = true;
  $("side-open").setAttribute("aria-expanded", "true");
  $("side").querySelector("[aria-current], button")?.focus();
}

function closeDrawer() {
  if (!document.body.classList.contains("drawer")) return;
  document.body.classList.remove("drawer");
  show($("veil"), false);
  $("main").inert = false;
  $("side-open").setAttribute("aria-expanded", "false");
  $("side-open").focus();
}

const THEMES = ["system", "light", "dark"];

function drawTheme() {
  const theme = document.documentElement.dataset.theme ?? "system";
  say($("theme"), { system: "System look", light: "Light", dark: "Dark" }[theme]);
  $("theme").title = "Light, dark, or as the system says";
}

function nextTheme() {
  const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme ?? "system") + 1) % THEMES.length];
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  memory.set("theme", next);
  drawTheme();
}

function toggleQuiet() {
  memory.set("quiet", memory.get("quiet") === "yes" ? "no" : "yes");
  $("quiet").setAttribute("aria-pressed", String(memory.get("quiet") === "yes"));
  if (desk.job) drawStep(desk.job.step);
}

function neighbour(step) {
  const sections = desk.outline?.sections ?? [];
  const next = sections[sections.findIndex((section) => section.id === desk.section?.id) + step];
  if (next) go(desk.outline.id, next.id);
}

function onKey(event) {
  if (document.querySelector("dialog[open]")) return;
  const command = event.ctrlKey || event.metaKey;
  if (command && event.key === "Enter") {
    if (!desk.job && !$("write").disabled) write();
  } else if (event.key === "Escape") {
    if (document.body.classList.contains("drawer")) closeDrawer();
    else if (desk.job) stop();
    else return;
  } else if (command && !event.shiftKey && event.key.toLowerCase() === "s") keeper?.flush();
  else if (command && event.shiftKey && event.key.toLowerCase() === "e") setView(desk.view === "edit" ? "read" : "edit");
  else if (event.altKey && event.key === "PageDown") neighbour(1);
  else if (event.altKey && event.key === "PageUp") neighbour(-1);
  else return;
  event.preventDefault();
}

function onField(id, name) {
  $(id).addEventListener("input", () => {
    keeper?.change({ [name]: $(id).value });
    if (name === "brief") growBrief();
    else {
      const line = desk.outline.sections.find((section) => section.id === desk.section.id);
      if (line) line[name] = $(id).value;
      drawLists();
    }
  });
}

function enterLeadsTo(id, focusNext) {
  $(id).addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey || event.isComposing) return;
    focusNext();
    event.preventDefault();
  });
}

onField("section-title", "title");
onField("brief", "brief");
onField("status", "status");
$("target").addEventListener("change", changeTarget);
enterLeadsTo("document-title", () => $("section-title").focus());
enterLeadsTo("section-title", focusOpening);
$("document-title").addEventListener("input", retitle);
$("document-title").addEventListener("change", () => rename());
$("new-document").addEventListener("click", newDocument);
$("add-section").addEventListener("click", addSection);
$("write").addEventListener("click", write);
$("engine-retry").addEventListener("click", async () => {
  const answer = await attempt("retry", {});
  if (answer) desk.engine = answer.engine;
  drawWriting();
});
$("view-edit").addEventListener("click", () => setView("edit"));
$("view-read").addEventListener("click", () => setView("read"));
$("read-section").addEventListener("click", () => setReadAll(false));
$("read-document").addEventListener("click", () => setReadAll(true));
$("download").addEventListener("click", async (event) => {
  if (!keeper?.unsaved) return;
  event.preventDefault();
  await keeper.flush();
  if (!keeper?.unsaved) $("download").click();
});
$("side-open").addEventListener("click", openDrawer);
$("side-close").addEventListener("click", closeDrawer);
$("veil").addEventListener("click", closeDrawer);
$("theme").addEventListener("click", nextTheme);
$("quiet").addEventListener("click", toggleQuiet);
$("keys").addEventListener("click", tellKeys);
$("scroll").addEventListener("scroll", noticeScroll, { passive: true });
document.addEventListener("keydown", onKey);
addEventListener("popstate", () => openPlace(true));
addEventListener("resize", () => growBrief());
addEventListener("pagehide", () => {
  rename(true);
  keeper?.flush({ leaving: true });
});
document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && keeper?.flush({ leaving: true }));

drawTheme();
$("quiet").setAttribute("aria-pressed", String(memory.get("quiet") === "yes"));
listen({
  opened: come,
  event: onEvent,
  lost: () => {
    if (keeper?.unsaved) drawSaved("away");
  },
});

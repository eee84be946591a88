// What the desk's server tells, and what becomes of it here.

import { Away, Refusal, ask, listen } from "./api.js";
import { note, unnote } from "./dialogs.js";
import { openPlace, refreshDocuments, refreshSoon, saveDocument } from "./documents.js";
import { flushLines } from "./lines.js";
import { drawSaved, sheet } from "./sheet.js";
import { desk, setJob, tell } from "./state.js";
import { later } from "./timing.js";

const refreshDocumentsSoon = later(refreshDocuments, 200);

const AGAIN_MS = 1500;

let early = null; // told while the state is being read: it may be newer
let comings = 0; // counts readings of the state, so that a slow answer does not overtake a later one

function onEvent(event) {
  if (early) early.push(event);
  else takeIn(event);
}

function takeInEarly() {
  const told = early ?? [];
  early = null;
  told.forEach(takeIn);
}

function takeIn(event) {
  const here = event.section_id === desk.section?.id;
  const job = desk.jobs.find((each) => each.job === event.job);
  switch (event.type) {
    case "engine":
      desk.engine = event;
      tell("engine");
      tell("writing");
      break;
    case "reading":
      if (job) job.reading = { done: event.done, total: event.total };
      tell("writing");
      break;
    case "step":
      if (job) onStep(job, event);
      break;
    case "locked":
      if (job) job.step = null;
      setMeter(event);
      if (here) sheet.keeper.locked(event);
      else {
        hear(event);
        refreshSoon();
      }
      break;
    case "job":
      onJob(event);
      break;
    case "trying":
      if (job) Object.assign(job, { reading: null, tried: tried(event) });
      tell("writing");
      break;
    case "takes":
      tell("takes", event);
      break;
    case "changed":
      if (here) {
        sheet.keeper.heard(event.revision);
        break;
      }
      hear(event);
      if (event.section_id === null || event.document_id === desk.outline?.id) refreshSoon();
      else refreshDocumentsSoon();
      break;
    default:
      break;
  }
}

/** For who is just about to open that section, with an answer that may be older. */
function hear({ section_id }) {
  if (section_id !== null) desk.heard.set(section_id, (desk.heard.get(section_id) ?? 0) + 1);
}

function setMeter({ meter, section_id }) {
  if (meter) desk.meter = { ...meter, section_id };
}

function onStep(job, event) {
  job.step = event;
  job.reading = null;
  setMeter(event);
  tell("step", event.section_id === desk.section?.id ? event : null);
  tell("writing");
}

/** How much of a passage is there again. */
function tried({ slots }) {
  return { done: slots.filter((slot) => slot.text !== null).length, total: slots.length };
}

function onJob(event) {
  setMeter(event);
  const job = setJob(event);
  if (job) {
    desk.ended = null;
    job.waiting = job.state === "running" && Boolean(event.sentence); // for a new model process
    if (job.waiting) job.step = null; // what was proposed went with the old one
  } else {
    desk.ended = event;
    if (event.state === "failed") note(event.sentence);
    refreshSoon();
  }
  tell("job", event);
  tell("lists");
  tell("writing");
}

/** The events have begun, or begun again after a break: all is read anew. */
async function come() {
  const turn = ++comings;
  early ??= [];
  let state;
  try {
    state = await ask("state");
  } catch (error) {
    if (error instanceof Away) setTimeout(() => turn === comings && come(), AGAIN_MS);
    else if (!(error instanceof Refusal)) throw error;
    else {
      note(error.message);
      takeInEarly();
    }
    return;
  }
  if (turn !== comings) return;
  const first = !desk.model;
  const jobs = [state.job, ...(state.waiting ?? [])].filter(Boolean);
  Object.assign(desk, { documents: state.documents, engine: state.engine, jobs });
  jobs.forEach(setMeter);
  if (desk.model?.id !== state.model.id) {
    desk.model = state.model; // started again, the desk may have another one
    tell("model", state.model);
  }
  takeInEarly();
  if (first) await openPlace(true);
  else {
    unnote("away");
    refreshSoon();
    tell("job", null);
    await saveDocument();
    await flushLines();
    await sheet.keeper?.flush();
    await sheet.keeper?.catchUp();
  }
  tell("lists");
  tell("writing");
}

function leave() {
  sheet.keeper?.flush({ leaving: true });
  flushLines({ leaving: true });
}

/** From here on the desk is followed; the tab's last words leave with it. */
export function begin() {
  listen({ opened: come, event: onEvent, lost: () => sheet.keeper?.unsaved && drawSaved("away") });
  addEventListener("popstate", () => openPlace(true));
  addEventListener("pagehide", () => {
    saveDocument(true);
    leave();
  });
  document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && leave());
}

// A passage that the model writes anew: what is asked, the mark over it while the model is at it, and the words to keep.

import { attempt } from "./asking.js";
import { memory } from "./dom.js";
import { mark } from "./marks.js";
import { toCharacters, toUnits } from "./places.js";
import { sheet } from "./sheet.js";
import { desk, on, revisingHere, tell } from "./state.js";
import { dialRequest } from "./writing.js";

let pins = []; // Ranges over words to keep
let typedSince = false; // the writer has gone on typing since they asked

/** Asks for takes of text[start:end]; given: strength, words, stop_name (else the dial's). Whether they are on their way. */
export async function revise(kind, { start, end }, given = {}) {
  const { keeper, editor } = sheet;
  const { text } = editor;
  await keeper.flush();
  if (keeper.unsaved || sheet.keeper !== keeper || editor.text !== text) return false;
  const kept = kind === "rewrite" ? pinned(start, end).map((pin) => [pin.start, pin.end]) : [];
  const inCharacters = (place) => toCharacters(text, place);
  typedSince = false;
  const answer = await attempt("revise", {
    section_id: keeper.id,
    revision: keeper.revision,
    kind: kept.length ? "pins" : kind,
    start: inCharacters(start),
    end: inCharacters(end),
    ...(kept.length ? { pins: kept.map((pin) => pin.map(inCharacters)) } : {}),
    ...(given.stop_name ? {} : dialRequest()),
    ...given,
  });
  return answer !== null;
}

/** Whether takes may step before the writer's eyes, and are not in the way of what they have begun meanwhile. */
export const welcome = () => !typedSince;

// -------------------------------------------------------------------------------------------------------------- pins

/** The words to keep that lie inside a stretch of the text, as places. */
export function pinned(start = 0, end = Infinity) {
  if (!sheet.editor) return [];
  return pins.map((pin) => sheet.editor.placesOf(pin)).filter((pin) => pin.start >= start && pin.end <= end && pin.start < pin.end);
}

/** Keeps a stretch of the text in what is rewritten around it, or no longer. */
export function togglePin({ start, end }) {
  const { editor } = sheet;
  const others = pins.filter((pin) => {
    const there = editor.placesOf(pin);
    return there.end <= start || there.start >= end;
  });
  pins = others.length < pins.length ? others : [...pins, editor.range(start, end)];
  mark("pinned", pins);
  rememberPins();
  tell("pins");
}

const keptName = () => `pins:${sheet.keeper.id}`;

/** For another visit, by this browser: another section is opened, or the page is left. */
function rememberPins() {
  if (!sheet.keeper) return;
  const { text } = sheet.editor;
  const places = pinned().map(({ start, end }) => ({ start, words: text.slice(start, end) }));
  if (places.length) memory.set(keptName(), JSON.stringify({ born: sheet.keeper.born, places }));
  else memory.remove(keptName());
}

/** Those of an earlier visit whose words still stand where they stood. */
function recallPins() {
  pins = [];
  if (sheet.keeper) {
    const { text } = sheet.editor;
    const kept = readKept();
    const there = kept?.born === sheet.keeper.born ? kept.places.filter(({ start, words }) => text.startsWith(words, start)) : [];
    pins = there.map(({ start, words }) => sheet.editor.range(start, start + words.length));
  }
  mark("pinned", pins);
}

function readKept() {
  try {
    return JSON.parse(memory.get(keptName()));
  } catch {
    return null;
  }
}

function forgetPins() {
  pins = [];
  mark("pinned", pins);
  rememberPins();
}

// -------------------------------------------------------------------------------------------------------------- mark

let marked = null; // the job whose passage is marked

function drawMark() {
  const job = sheet.editor && revisingHere();
  if (!job) {
    marked = null;
    mark("passage", []);
    return;
  }
  if (marked === job.job) return; // its mark moves with the text
  const { text } = sheet.editor;
  const range = sheet.editor.range(toUnits(text, job.start), toUnits(text, Math.max(job.end, job.start + 1)));
  marked = job.job;
  mark("passage", [range]);
}

on("job", drawMark);
on("leaving", rememberPins);
addEventListener("pagehide", rememberPins);
on("section", () => {
  recallPins();
  marked = null;
  drawMark();
});
on("typed", () => {
  typedSince = true;
  pins = pins.filter((pin) => !pin.collapsed);
});
on("takes", ({ section_id, take }) => {
  if (section_id !== desk.section?.id || take.kind !== "pins") return;
  forgetPins();
});

// Beside the text: finds words in all documents, and puts others in their place.

import { attempt, inquire } from "./asking.js";
import { confirm } from "./dialogs.js";
import { el, say } from "./dom.js";
import { go, refreshSoon, saveDocument } from "./documents.js";
import { flushLines } from "./lines.js";
import { glow, mark } from "./marks.js";
import { giveWay, panelTab } from "./panel.js";
import { toCharacters, toUnits } from "./places.js";
import { reveal, sheet } from "./sheet.js";
import { desk, on } from "./state.js";
import { later, takeLatest } from "./timing.js";
import { setView } from "./views.js";
import { number } from "./words.js";

const SCOPES = [
  ["section", "this section"],
  ["document", "this document"],
  ["desk", "all documents"],
];

const AROUND = 24; // characters that are shown on either side of a place

let form = null; // the fields, once they are made
let found = null; // {id, range}: the place in the open section that “Replace” is about
let spokenOf = null; // the words of which “Next” or “Replace” have said where they stand in the section

function make(host) {
  const query = el("input", { type: "search", id: "find-query", class: "find-field", autocomplete: "off", maxLength: 1000, "aria-label": "Find", placeholder: "Words, or “an exact phrase”" });
  const replacement = el("input", { type: "text", id: "find-replacement", class: "find-field", autocomplete: "off", maxLength: 1000, "aria-label": "Replace with", placeholder: "Replace with" });
  const scope = el("select", { "aria-label": "Where to replace" }, ...SCOPES.map(([value, name]) => el("option", { value }, `in ${name}`)));
  scope.value = "document";
  const matchCase = el("input", { type: "checkbox" });
  const next = el("button", { type: "button", class: "quiet-button bordered", onclick: () => nextPlace() }, "Next");
  const replace = el("button", { type: "button", class: "quiet-button bordered", onclick: replaceHere }, "Replace");
  const all = el("button", { type: "button", class: "quiet-button bordered", onclick: replaceAll }, "Replace all …");
  const told = el("p", { class: "faint-note", role: "status" });
  const list = el("ol", { class: "hits" });
  query.addEventListener("input", () => {
    forget();
    searchSoon();
  });
  replacement.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    replaceHere();
    event.preventDefault();
  });
  query.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "Enter") list.querySelector("button")?.focus();
    else return;
    event.preventDefault();
  });
  list.addEventListener("keydown", stepThrough);
  form = { query, replacement, scope, matchCase, told, list };
  host.replaceChildren(
    query,
    el(
      "div",
      { class: "find-replace" },
      replacement,
      el("div", { class: "find-how" }, el("label", {}, matchCase, " Match case"), el("span", { class: "find-here", role: "group", "aria-label": "In this section, one by one" }, next, replace)),
      el("div", { class: "find-how" }, scope, all),
    ),
    told,
    list,
  );
}

function draw(host) {
  if (!form) make(host);
  search();
}

const searchSoon = later(search, 180);

/** {hits}; null where there are newer words to be found. */
const hitsFor = takeLatest(async (words) => {
  if (!words) return { hits: [] };
  await saveAll();
  return inquire("search", { query: words });
});

async function search() {
  const { query, told, list } = form;
  const words = query.value.trim();
  const answer = await hitsFor(words);
  if (!answer) return;
  const { hits } = answer;
  const places = hits.reduce((sum, hit) => sum + hit.count, 0);
  const says = hits.length ? `${number(places)} ${places === 1 ? "place" : "places"} in ${number(hits.length)} ${hits.length === 1 ? "section" : "sections"}` : "Nothing is written like that.";
  if (words !== spokenOf) say(told, words ? says : "Titles, briefs, notes and texts of all documents are searched.");
  list.replaceChildren(...hits.map(line));
}

function line(hit) {
  const where = [hit.document_id === desk.outline?.id ? null : hit.document_title || "Untitled document", hit.section_title || "Untitled section"];
  return el(
    "li",
    {},
    el(
      "button",
      { type: "button", class: "hit", onclick: () => open(hit) },
      el("span", { class: "hit-where" }, where.filter(Boolean).join(" · ")),
      el("span", { class: "count" }, number(hit.count)),
      el("span", { class: "hit-snippet" }, ...hit.snippet.map(([text, matched]) => (matched ? el("mark", {}, text) : text))),
    ),
  );
}

async function open(hit) {
  setView("edit");
  await go(hit.document_id, hit.section_id);
  const { editor, keeper } = sheet;
  if (keeper?.id !== hit.section_id) return;
  if (hit.start === null) {
    giveWay();
    return;
  }
  const { text } = editor;
  const start = toUnits(text, hit.start);
  const length = hit.snippet.find(([, matched]) => matched)?.[0].length ?? 0;
  const range = editor.range(start, start + length);
  editor.root.focus({ preventScroll: true });
  editor.choose(start, start + length);
  reveal(range);
  glow(range);
  hold(range);
  giveWay();
}

function stepThrough(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const buttons = [...form.list.querySelectorAll("button")];
  const next = buttons[buttons.indexOf(document.activeElement) + step];
  (next ?? (step < 0 ? form.query : null))?.focus();
  event.preventDefault();
}

// ----------------------------------------------------------------------------------------------------------- replacing

const saveAll = () => Promise.all([sheet.keeper?.flush(), saveDocument(), flushLines()]);

const asks = () => ({ query: form.query.value, replacement: form.replacement.value, match_case: form.matchCase.checked });

/** This place is what “Replace” is about, until another one is or the section is left. */
function hold(range) {
  found = { id: desk.section.id, range };
  mark("found", [range]);
}

function forget() {
  found = null;
  spokenOf = null;
  mark("found", []);
}

/** What the section holds at places {start, end}, with some words around it. */
function around(text, { start, end }) {
  const before = start > AROUND ? text.slice(start - AROUND, start).replace(/^\S*\s/, "") : text.slice(0, start);
  const after = end + AROUND < text.length ? text.slice(end, end + AROUND).replace(/\s\S*$/, "") : text.slice(end);
  return `${before}${text.slice(start, end)}${after}`.replace(/\s+/g, " ");
}

/** Goes to the place behind `from`, by default the one where the writer is; after the last one to the first. */
async function nextPlace(from = null) {
  const { told } = form;
  const query = form.query.value;
  if (!query) return form.query.focus();
  if (!desk.section) return say(told, "Open a section first.");
  setView("edit");
  await saveAll();
  const { editor, keeper } = sheet;
  if (!keeper) return undefined;
  const answer = await inquire("places", { section_id: keeper.id, ...asks() });
  if (!answer || sheet.keeper !== keeper || form.query.value !== query) return undefined;
  const { text } = editor;
  const here = from ?? (found?.id === keeper.id ? editor.placesOf(found.range).end : editor.chosen?.end ?? 0);
  forget();
  spokenOf = query.trim();
  const places = answer.places.map(([start, end]) => ({ start: toUnits(text, start), end: toUnits(text, end) }));
  if (!places.length) return say(told, `“${query}” does not stand in this section.`);
  const at = Math.max(0, places.findIndex(({ start }) => start >= here));
  const range = editor.range(places[at].start, places[at].end);
  hold(range);
  reveal(range);
  glow(range);
  return say(told, `${number(at + 1)} of ${number(places.length)} in this section: “${around(text, places[at])}”`);
}

/** Replaces the place that is held, and goes to the next one; where none is held, to the first one. */
async function replaceHere() {
  if (!found || found.id !== desk.section?.id || !form.query.value) return nextPlace();
  await saveAll();
  const { editor, keeper } = sheet;
  if (!keeper || !found || found.id !== keeper.id) return undefined;
  const { start } = editor.placesOf(found.range);
  const answer = await attempt("replace", { section_id: keeper.id, start: toCharacters(editor.text, start), ...asks() });
  if (!answer || sheet.keeper !== keeper) return undefined;
  if (!answer.changed.length) return nextPlace(start); // the words there have changed meanwhile
  forget();
  await keeper.catchUp();
  refreshSoon();
  return nextPlace(start + form.replacement.value.length);
}

/** Asks with the number of places, then replaces; each section can be undone, and each document has a snapshot of before. */
async function replaceAll() {
  const query = form.query.value;
  if (!query) {
    form.query.focus();
    return;
  }
  const chosen = form.scope.value;
  await saveAll();
  const asked = {
    ...asks(),
    ...(chosen === "document" ? { document_id: desk.outline?.id } : {}),
    ...(chosen === "section" ? { section_id: desk.section?.id } : {}),
  };
  const counted = await inquire("count_places", asked);
  if (!counted) return;
  const { count } = counted;
  const [, where] = SCOPES.find(([value]) => value === chosen);
  if (!count) {
    say(form.told, `There is nothing to replace in ${where}: “${query}” does not stand there, letter by letter.`);
    return;
  }
  const places = `${number(count)} ${count === 1 ? "place" : "places"}`;
  const sure = await confirm(
    `Replace “${query}” in ${places}?`,
    `“${asked.replacement}” will stand there, in ${where}. Every section can be undone, and a snapshot is taken before.`,
    `Replace ${places}`,
    "Cancel",
  );
  if (!sure) return;
  const answer = await attempt("replace", asked);
  if (!answer) return;
  forget();
  const done = answer.changed.reduce((sum, each) => sum + each.count, 0);
  await search();
  say(form.told, `Replaced in ${number(done)} ${done === 1 ? "place" : "places"}.`);
  await sheet.keeper?.catchUp();
  refreshSoon();
}

on("section", forget);

panelTab("find", {
  title: "Find and replace",
  keys: "Mod+Shift+F",
  draw,
  left: forget,
  focus() {
    const chosen = String(getSelection()).trim();
    if (chosen && chosen.length < 80 && !chosen.includes("\n")) form.query.value = chosen;
    form.query.focus();
    form.query.select();
    search();
  },
});

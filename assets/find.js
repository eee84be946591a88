// Beside the text: finds words in all documents, and puts others in their place.

import { attempt, inquire } from "./asking.js";
import { confirm } from "./dialogs.js";
import { el, say } from "./dom.js";
import { go, refreshSoon, saveDocument } from "./documents.js";
import { flushLines } from "./lines.js";
import { glow } from "./marks.js";
import { giveWay, panelTab } from "./panel.js";
import { toUnits } from "./places.js";
import { reveal, sheet } from "./sheet.js";
import { desk } from "./state.js";
import { later } from "./timing.js";
import { setView } from "./views.js";
import { number } from "./words.js";

const SCOPES = [
  ["section", "this section"],
  ["document", "this document"],
  ["desk", "all documents"],
];

let form = null; // the fields, once they are made
let asked = 0; // counts questions, so that a slow answer does not overtake a later one

function make(host) {
  const query = el("input", { type: "search", id: "find-query", class: "find-field", autocomplete: "off", maxLength: 1000, "aria-label": "Find", placeholder: "Words, or “an exact phrase”" });
  const replacement = el("input", { type: "text", id: "find-replacement", class: "find-field", autocomplete: "off", maxLength: 1000, "aria-label": "Replace with", placeholder: "Replace with" });
  const scope = el("select", { "aria-label": "Where to replace" }, ...SCOPES.map(([value, name]) => el("option", { value }, `in ${name}`)));
  scope.value = "document";
  const matchCase = el("input", { type: "checkbox" });
  const replace = el("button", { type: "button", class: "quiet-button bordered", onclick: replaceAll }, "Replace …");
  const told = el("p", { class: "faint-note", role: "status" });
  const list = el("ol", { class: "hits" });
  query.addEventListener("input", searchSoon);
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
      el("div", { class: "find-how" }, scope, el("label", {}, matchCase, " Match case"), replace),
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

async function search() {
  const { query, told, list } = form;
  const words = query.value.trim();
  const turn = ++asked;
  if (words) await saveAll();
  const answer = words ? await inquire("search", { query: words }) : { hits: [] };
  if (!answer || turn !== asked) return;
  const { hits } = answer;
  const places = hits.reduce((sum, hit) => sum + hit.count, 0);
  const says = hits.length ? `${number(places)} ${places === 1 ? "place" : "places"} in ${number(hits.length)} ${hits.length === 1 ? "section" : "sections"}` : "Nothing is written like that.";
  say(told, words ? says : "Titles, briefs, notes and texts of all documents are searched.");
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
  giveWay();
  if (hit.start === null) return;
  const { text } = editor;
  const start = toUnits(text, hit.start);
  const length = hit.snippet.find(([, matched]) => matched)?.[0].length ?? 0;
  const range = editor.range(start, start + length);
  editor.root.focus({ preventScroll: true });
  editor.choose(start, start + length);
  reveal(range);
  glow(range);
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

/** Asks with the number of places, then replaces; each section can be undone, and each document has a snapshot of before. */
async function replaceAll() {
  const query = form.query.value;
  if (!query) {
    form.query.focus();
    return;
  }
  const chosen = form.scope.value;
  await saveAll();
  const matchCase = form.matchCase.checked;
  const count = await countIn(chosen, query, matchCase);
  const [, where] = SCOPES.find(([value]) => value === chosen);
  if (!count) {
    say(form.told, `“${query}” does not stand in ${where}, letter by letter.`);
    return;
  }
  const places = `${number(count)} ${count === 1 ? "place" : "places"}`;
  const sure = await confirm(
    `Replace “${query}” in ${places}?`,
    `“${form.replacement.value}” will stand there, in ${where}. Every section can be undone, and a snapshot is taken before.`,
    `Replace ${places}`,
    "Cancel",
  );
  if (!sure) return;
  const answer = await attempt("replace", {
    query,
    replacement: form.replacement.value,
    match_case: matchCase,
    ...(chosen === "document" ? { document_id: desk.outline?.id } : {}),
    ...(chosen === "section" ? { section_id: desk.section?.id } : {}),
  });
  if (!answer) return;
  const done = answer.changed.reduce((sum, each) => sum + each.count, 0);
  await search();
  say(form.told, `Replaced in ${number(done)} ${done === 1 ? "place" : "places"}.`);
  await sheet.keeper?.catchUp();
  refreshSoon();
}

/** In how many places the words stand letter by letter, as the server would replace them. */
async function countIn(chosen, query, matchCase) {
  const pattern = new RegExp(query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), matchCase ? "gu" : "giu");
  const texts = chosen === "section" ? [sheet.editor?.text ?? ""] : await textsOf(chosen);
  return texts.reduce((sum, text) => sum + (text.match(pattern)?.length ?? 0), 0);
}

async function textsOf(chosen) {
  const documents = chosen === "document" ? [desk.outline] : desk.documents;
  const outlines = await Promise.all(documents.filter(Boolean).map(({ id }) => inquire("document", { document_id: id })));
  const sections = outlines.flatMap((answer) => answer?.document.sections ?? []).filter((section) => section.words > 0);
  const answers = [];
  for (const { id } of sections) answers.push(await inquire("section", { section_id: id }));
  return answers.map((answer) => answer?.section.text ?? "");
}

panelTab("find", {
  title: "Find and replace",
  keys: "Mod+Shift+F",
  draw,
  focus() {
    const chosen = String(getSelection()).trim();
    if (chosen && chosen.length < 80 && !chosen.includes("\n")) form.query.value = chosen;
    form.query.focus();
    form.query.select();
    search();
  },
});

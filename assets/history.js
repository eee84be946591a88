// Beside the text: every state the open section's text has been in, snapshots of the document, and what was deleted.

import { attempt, inquire } from "./asking.js";
import { command } from "./commands.js";
import { confirm, tellWriter } from "./dialogs.js";
import { difference } from "./difference.js";
import { el } from "./dom.js";
import { go, refreshDocuments, saveDocument } from "./documents.js";
import { flushLines } from "./lines.js";
import { panelTab, redraw } from "./panel.js";
import { sheet } from "./sheet.js";
import { desk, on, setOutline } from "./state.js";
import { goStep } from "./steps.js";
import { later, takeLatest } from "./timing.js";
import { hour, number, words } from "./words.js";

const SHOWN = 150; // lines at first
const DEEPEST = 4; // branches are not indented further
const KINDS = {
  start: "The beginning",
  typing: "You wrote",
  block: "A block",
  take: "A take",
  restore: "Brought back",
  replace: "Replaced",
  import: "Imported",
  "deleted blocks": "Taken out",
};
const SNAPSHOTS = { named: "", daily: "of the day", "before restore": "before a restore", "before replace": "before replacing" };

const MANY = 4; // so many blocks in a row are shown as one line

const opened = new Set(); // such lines that are open

let shown = SHOWN;

/** [versions, snapshots, deleted], each null where there is nothing to ask about. */
const lists = takeLatest(async () => {
  const [section, outline] = [desk.section, desk.outline];
  if (section) await sheet.keeper.flush();
  return Promise.all([
    section ? inquire("versions", { section_id: section.id }) : null,
    outline ? inquire("snapshots", { document_id: outline.id }) : null,
    inquire("deleted", outline ? { document_id: outline.id } : {}),
  ]);
});

async function draw(host) {
  const answers = await lists();
  if (!answers) return;
  const [versions, snapshots, deleted] = answers;
  const focused = document.activeElement?.dataset?.focus;
  host.replaceChildren(
    ...(versions ? versionList(versions.versions) : []),
    ...(snapshots ? snapshotList(snapshots.snapshots) : []),
    ...(deleted ? deletedList(deleted) : []),
  );
  if (focused) host.querySelector(`[data-focus="${focused}"]`)?.focus({ preventScroll: true });
}

// ------------------------------------------------------------------------------------------------------------ versions

/** How far from the way to the present each version lies: 0 on it, or ahead of it, 1 on a branch, 2 on a branch of that. */
function depths(versions) {
  const known = new Map();
  const newest = new Map(); // parent → the child that was made last
  for (const { id, parent_id: parent } of versions) newest.set(parent, id);
  const current = versions.find((version) => version.current)?.id;
  for (const { id, parent_id: parent, on_path: onPath } of versions) {
    const above = known.get(parent) ?? { depth: 0, trunk: true };
    const ahead = parent === current || above.ahead;
    const leaves = above.trunk && !onPath && parent !== current;
    const side = !onPath && newest.get(parent) !== id && !above.trunk;
    known.set(id, { depth: above.depth + (leaves || side ? 1 : 0), trunk: onPath || (ahead && newest.get(parent) === id), ahead });
  }
  return new Map([...known].map(([id, { depth }]) => [id, Math.min(depth, DEEPEST)]));
}

function versionList(versions) {
  const depth = depths(versions);
  const newest = [...versions].reverse();
  const rows = runs(newest.slice(0, shown), depth).map((run) =>
    run.length < MANY ? run.map((version) => versionRow(version, depth.get(version.id))) : [blockRun(run, depth.get(run[0].id))],
  );
  const more =
    newest.length > shown
      ? el("button", { type: "button", class: "quiet-button", onclick: () => (shown += SHOWN, redraw("history")) }, `${number(newest.length - shown)} older ones`)
      : null;
  return [el("h2", {}, "This section"), el("ol", { class: "versions-list" }, ...rows.flat()), more].filter(Boolean);
}

/** Blocks that were written one after the other belong together; every other version stands for itself. */
function runs(versions, depth) {
  const made = [];
  for (const version of versions) {
    const last = made.at(-1)?.at(-1);
    const goesOn = last?.kind === "block" && version.kind === "block" && !last.current && !version.current && last.parent_id === version.id && depth.get(last.id) === depth.get(version.id);
    if (goesOn) made.at(-1).push(version);
    else made.push([version]);
  }
  return made;
}

/** Many blocks in one line that can be opened. */
function blockRun(run, depth) {
  const id = String(run[0].id);
  const more = run.reduce((sum, { words_delta: delta }) => sum + delta, 0);
  const details = el(
    "details",
    { open: opened.has(id) },
    el("summary", {}, el("span", { class: "version-kind" }, `${number(run.length)} blocks`), el("span", { class: "count" }, `+${number(more)} ${hour(run[0].at)}`)),
    el("ol", { class: "versions-list" }, ...run.map((version) => versionRow(version, 0))),
  );
  details.addEventListener("toggle", () => (details.open ? opened.add(id) : opened.delete(id)));
  const row = el("li", { class: run[0].on_path ? "" : "aside" }, details);
  row.style.setProperty("--depth", String(depth));
  return row;
}

function versionRow(version, depth) {
  const { id, at, kind, label, words_delta: delta, current, on_path: onPath } = version;
  const change = delta ? ` ${delta > 0 ? "+" : "−"}${number(Math.abs(delta))}` : "";
  const compared = el("div", { class: "compared", hidden: true });
  const row = el(
    "li",
    { class: [current && "current", !onPath && "aside"].filter(Boolean).join(" ") },
    el(
      "div",
      { class: "version-row" },
      el(
        "button",
        { type: "button", class: "version-go", "data-focus": `version-${id}`, "aria-current": current ? "true" : null, onclick: () => goStep("go_to", { version_id: id }) },
        el("span", { class: "version-kind" }, KINDS[kind] ?? kind),
        el("span", { class: "version-label" }, label),
        el("span", { class: "count" }, `${change.trim()} ${hour(at)}`.trim()),
      ),
      current ? null : el("button", { type: "button", class: "tool", title: "Compare with the text now", "aria-label": `Compare “${label || KINDS[kind]}” with the text now`, "aria-expanded": "false", onclick: (event) => compare(event.currentTarget, compared, id) }, "±"),
    ),
    compared,
  );
  row.style.setProperty("--depth", String(depth));
  return row;
}

async function compare(button, place, versionId) {
  place.hidden = !place.hidden;
  button.setAttribute("aria-expanded", String(!place.hidden));
  if (place.hidden) return;
  const answer = await inquire("version_text", { section_id: desk.section.id, version_id: versionId });
  if (!answer || !sheet.editor) return;
  place.replaceChildren(...(answer.text === sheet.editor.text ? ["The same text as now."] : difference(sheet.editor.text, answer.text)));
}

// ----------------------------------------------------------------------------------------------------------- snapshots

// One for all drawings: what is typed in it stays when the tab is drawn anew.
const nameField = el("input", { type: "text", class: "find-field", maxLength: 200, placeholder: "Name of a snapshot", "aria-label": "Name of a snapshot", "data-focus": "snapshot-name" });
nameField.addEventListener("keydown", (event) => event.key === "Enter" && !event.isComposing && takeNamed());

function takeNamed() {
  const name = nameField.value;
  nameField.value = "";
  return takeSnapshot(name);
}

function snapshotList(snapshots) {
  return [
    el("h2", {}, "Snapshots of the document"),
    el("div", { class: "snapshot-new" }, nameField, el("button", { type: "button", class: "quiet-button bordered", onclick: takeNamed }, "Take one")),
    snapshots.length
      ? el("ol", { class: "snapshots" }, ...snapshots.map(snapshotRow))
      : el("p", { class: "panel-empty" }, "A snapshot keeps the whole document as it is, to look at or to come back to."),
  ];
}

function snapshotRow(card) {
  return el(
    "li",
    {},
    el("span", { class: "snapshot-name" }, [card.name || "Snapshot", SNAPSHOTS[card.kind]].filter(Boolean).join(", ")),
    el("span", { class: "faint-note" }, `${hour(card.at)} · ${words(card.words)}`),
    el(
      "span",
      { class: "snapshot-tools" },
      el("button", { type: "button", class: "quiet-button", onclick: () => lookAt(card) }, "Look"),
      el("button", { type: "button", class: "quiet-button", onclick: () => restore(card) }, "Restore …"),
    ),
  );
}

async function takeSnapshot(name = "") {
  await saveAll();
  if (!(await attempt("take_snapshot", { document_id: desk.outline.id, name }))) nameField.value ||= name;
  redraw("history");
}

/** The snapshot's sections, each with what it would change in the text of today. */
async function lookAt(card) {
  await saveAll();
  const answer = await attempt("snapshot", { snapshot_id: card.id });
  if (!answer) return;
  const now = new Map();
  for (const { id } of desk.outline.sections) now.set(id, (await inquire("section", { section_id: id }))?.section.text ?? "");
  const parts = answer.sections.map(({ section_id: id, title, text }) => {
    const before = now.get(id);
    const body = before === undefined ? [el("ins", {}, text)] : before === text ? [el("span", { class: "faint-note" }, "As it is now.")] : difference(before, text);
    return el("section", {}, el("h3", {}, title || "Untitled section"), el("p", { class: "candidate" }, ...body));
  });
  await tellWriter(card.name || `Snapshot of ${hour(card.at)}`, [el("div", { class: "snapshot-text", tabIndex: 0, role: "region", "aria-label": "What it would change" }, ...parts)], { wide: true });
}

async function restore(card) {
  const sure = await confirm(
    `Go back to “${card.name || hour(card.at)}”?`,
    "Titles, order and texts become what they were. The document as it is now is kept as a snapshot, and every section can be undone.",
    "Restore",
    "Cancel",
  );
  if (!sure) return;
  await saveAll();
  const answer = await attempt("restore_snapshot", { snapshot_id: card.id, revision: desk.outline.revision });
  if (!answer) return;
  setOutline(answer.document);
  await sheet.keeper?.catchUp();
  redraw("history");
}

const saveAll = () => Promise.all([sheet.keeper?.flush(), saveDocument(), flushLines()]);

// ------------------------------------------------------------------------------------------------------------- deleted

function deletedList({ documents, sections }) {
  const row = (item, verb, given) =>
    el(
      "li",
      {},
      el("span", { class: "snapshot-name" }, item.title || (item.section_id ? "Untitled section" : "Untitled document")),
      el("span", { class: "faint-note" }, `${hour(item.at)} · ${words(item.words)}`),
      el("span", { class: "snapshot-tools" }, el("button", { type: "button", class: "quiet-button", onclick: () => bringBack(verb, given) }, "Bring back")),
    );
  const lists = [];
  if (sections.length)
    lists.push(el("h2", {}, "Deleted sections"), el("ol", { class: "snapshots" }, ...sections.map((each) => row(each, "restore_section", { section_id: each.section_id }))));
  if (documents.length)
    lists.push(el("h2", {}, "Deleted documents"), el("ol", { class: "snapshots" }, ...documents.map((each) => row(each, "restore_document", { document_id: each.document_id }))));
  return lists;
}

async function bringBack(verb, given) {
  const answer = await attempt(verb, given);
  if (!answer) return;
  await refreshDocuments();
  if (answer.document.id === desk.outline?.id) setOutline(answer.document);
  await go(answer.document.id, given.section_id ?? null);
  redraw("history");
}

const again = later(() => redraw("history"), 250);

panelTab("history", { title: "History and snapshots", draw });
command({ id: "snapshot", title: "Take a snapshot of the document", group: "Document", when: () => Boolean(desk.outline), run: () => takeSnapshot() });
on("section", () => {
  shown = SHOWN;
  again();
});
on("sections", again);
on("facts", again);
on("appended", again);
on("lists", later(() => !desk.outline && redraw("history"), 250));

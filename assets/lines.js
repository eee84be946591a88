// Titles, briefs, styles, lengths and statuses that are changed from the outline: those of the open section go its own
// way to the store, every other one gets a keeper for as long as it has something unsaved.

import { note } from "./dialogs.js";
import { Keeper } from "./keeper.js";
import { askSides, drawSaved, setField, sheet } from "./sheet.js";
import { desk, lineOf, setLine, setOutline, tell } from "./state.js";

const keepers = new Map();

/** Changes fields of a section: title, brief, style, target_words, status. Saved within a second. */
export function changeLine(id, fields) {
  const line = lineOf(id);
  if (!line) return;
  Object.assign(line, fields);
  if (sheet.keeper?.id === id) for (const [name, value] of Object.entries(fields)) setField(name, value);
  else keeperOf(line).change(fields);
  setOutline(desk.outline);
}

function keeperOf(line) {
  const known = keepers.get(line.id);
  if (known) return known;
  const keeper = new Keeper(line, desk.outline.created, {
    text: () => null,
    append: () => {},
    adopt: setLine,
    saved: (state, sentence) => {
      drawSaved(state, sentence);
      if (state === "saved" && keepers.get(line.id) === keeper) keepers.delete(line.id);
    },
    stale: askSides,
    changed: setLine,
    invalid: () => {},
    gone: (sentence) => {
      keepers.delete(line.id);
      note(sentence);
      tell("gone");
    },
  });
  keepers.set(line.id, keeper);
  return keeper;
}

/** Saves what is unsaved; resolves when all of it was tried. */
export function flushLines(given) {
  return Promise.all([...keepers.values()].map((keeper) => keeper.flush(given)));
}

/** Whether a section's fields here are newer than the server's. */
export const lineUnsaved = (id) => keepers.has(id) || (sheet.keeper?.id === id && sheet.keeper.unsaved);

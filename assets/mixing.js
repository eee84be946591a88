// A passage and what might take its place, change by change: some are taken, the others are not. Pure.

import { diff } from "./diff.js";
import { toCharacters } from "./places.js";

/** [{before, after, change}] in reading order: all befores are the one text, all afters the other; change: they differ. */
export function stretches(before, after) {
  const made = [];
  for (const { kind, text } of diff(before, after)) {
    const last = made.at(-1);
    if (kind === "same") made.push({ before: text, after: text, change: false });
    else if (kind === "gone") made.push({ before: text, after: "", change: true });
    else if (last?.change) last.after = text;
    else made.push({ before: "", after: text, change: true });
  }
  return made;
}

/** The text with the new words of the stretches that are taken, and the old ones of all others. */
export function mixed(parts, isTaken) {
  return parts.map((part) => (isTaken(part) ? part.after : part.before)).join("");
}

/** The changes that are taken, as the server counts: [start, end] of what goes and [start, end] of what comes, in one. */
export function exchanges(parts, isTaken) {
  const made = [];
  let gone = 0;
  let come = 0;
  for (const part of parts) {
    const [start, first] = [gone, come];
    gone += toCharacters(part.before, part.before.length);
    come += toCharacters(part.after, part.after.length);
    if (part.change && isTaken(part)) made.push([start, gone, first, come]);
  }
  return made;
}

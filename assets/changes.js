// What a take would change in a passage, in reading order. Each change is a button: it takes the new words or leaves the
// old ones.

import { shortened } from "./difference.js";
import { el } from "./dom.js";
import { exchanges, mixed, stretches } from "./mixing.js";

/**
 * nodes  to be shown; all changes are taken at first. onToggle: called after each press.
 * text   as it would be; count, taken: of changes; changes: those that are taken, for the server, null where all are.
 */
export function changesOf(before, after, onToggle = () => {}) {
  const parts = stretches(before, after);
  const left = new Set();
  const isTaken = (part) => !left.has(part);
  const count = parts.filter(({ change }) => change).length;
  const buttons = [];
  const nodes = parts.map((part, index) => {
    if (!part.change) return shortened(part.after, index > 0, index < parts.length - 1);
    if (!before.trim()) return el("ins", {}, part.after); // nothing stood there that could be kept
    const made = button(part, isTaken, () => {
      if (!left.delete(part)) left.add(part);
      onToggle();
    });
    made.tabIndex = buttons.length ? -1 : 0;
    made.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      buttons.at((buttons.indexOf(made) + step) % buttons.length).focus();
    });
    buttons.push(made);
    return made;
  });
  return {
    nodes,
    buttons,
    count,
    get taken() {
      return count - left.size;
    },
    get text() {
      return mixed(parts, isTaken);
    },
    get changes() {
      return left.size ? exchanges(parts, isTaken) : null;
    },
  };
}

/** No <button>: that is a box of its own, and these are words in a line. */
function button(part, isTaken, toggle) {
  const made = el(
    "span",
    { class: "change", role: "button" },
    part.before ? el("del", {}, part.before) : null,
    part.after ? el("ins", {}, part.after) : null,
  );
  const draw = () => {
    const taken = isTaken(part);
    made.setAttribute("aria-pressed", String(taken));
    made.setAttribute("aria-label", `${inWords(part)}, ${taken ? "taken" : "kept as it was"}`);
    made.title = taken ? "Keep it as it was" : "Take this change";
  };
  const press = () => {
    toggle();
    draw();
  };
  made.addEventListener("click", press);
  made.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    press();
  });
  draw();
  return made;
}

function inWords({ before, after }) {
  if (!after) return `${quoted(before)} taken out`;
  if (!before) return `${quoted(after)} put in`;
  return `${quoted(before)} → ${quoted(after)}`;
}

function quoted(text) {
  const words = text.trim();
  if (words) return `“${words}”`;
  return text.includes("\n") ? "a line break" : "a space";
}

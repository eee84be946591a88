// Shows what became of a text: what is gone struck through, what is new underlined, long stretches that stayed left out.

import { diff } from "./diff.js";
import { el } from "./dom.js";

const KEPT = 60; // characters of an unchanged stretch that stay in sight on either side

/** Nodes; `whole`: nothing is left out. */
export function difference(before, after, { whole = false } = {}) {
  const parts = diff(before, after);
  return parts.map(({ kind, text }, index) => {
    if (kind === "gone") return el("del", {}, text);
    if (kind === "new") return el("ins", {}, text);
    return whole ? text : shortened(text, index > 0, index < parts.length - 1);
  });
}

/** left, right: something changed stands there. */
export function shortened(text, left, right) {
  if (text.length <= 2 * KEPT + 40) return text;
  const head = left ? text.slice(0, KEPT).replace(/\S*$/, "") : "";
  const tail = right ? text.slice(-KEPT).replace(/^\S*/, "") : "";
  return `${head}…${tail}`;
}

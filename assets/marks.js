// Marks over the text that are no elements in it: the browser's highlights. page.css says how each one looks.

const GLOW_MS = 700;

/** Marks exactly these ranges from now on. */
export function mark(name, ranges) {
  if (!CSS.highlights) return;
  if (ranges.length) CSS.highlights.set(name, new Highlight(...ranges));
  else CSS.highlights.delete(name);
}

/** A range glows for a moment. */
export function glow(range) {
  if (!CSS.highlights) return;
  const glowing = CSS.highlights.get("glow") ?? new Highlight();
  glowing.add(range);
  CSS.highlights.set("glow", glowing);
  setTimeout(() => glowing.delete(range), GLOW_MS);
}

// Small surfaces above the page that belong to a place in it: menus, takes, facts of a block.

const GAP = 6;
const EDGE = 8;

/** Puts a shown, fixed element under a rectangle of the window, or above it where there is more room. */
export function placeAt(node, rect, { above = false, end = false } = {}) {
  const { width, height } = node.getBoundingClientRect();
  const room = { above: rect.top - GAP - EDGE, below: innerHeight - rect.bottom - GAP - EDGE };
  const up = above ? height <= room.above || room.above > room.below : height > room.below && room.above > room.below;
  const top = up ? rect.top - GAP - height : rect.bottom + GAP;
  const left = end ? rect.right - width : rect.left;
  node.style.top = `${Math.max(EDGE, Math.min(top, innerHeight - height - EDGE))}px`;
  node.style.left = `${Math.max(EDGE, Math.min(left, innerWidth - width - EDGE))}px`;
}

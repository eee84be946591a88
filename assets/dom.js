// Elements made from text alone. Nothing here, or anywhere else in the page, parses words of a writer or model as HTML.

export const $ = (id) => document.getElementById(id);

/** An element with properties, data attributes, listeners and children; strings become text. */
export function el(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else if (name in made && !name.startsWith("aria")) made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Sets text only where it differs, so that a screen reader or a selection is not disturbed for nothing. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

/** Remembers what has the focus and what is chosen in the text; the function it returns brings both back. */
export function keepPlace() {
  const focused = document.activeElement;
  const chosen = getSelection();
  const range = focused?.isContentEditable && chosen.rangeCount ? chosen.getRangeAt(0).cloneRange() : null;
  const backwards = range && !range.collapsed && chosen.focusNode === range.startContainer && chosen.focusOffset === range.startOffset;
  return () => {
    if (!focused?.isConnected || focused === document.body) return;
    focused.focus({ preventScroll: true });
    if (!range) return;
    const { startContainer, startOffset, endContainer, endOffset } = range;
    if (backwards) chosen.setBaseAndExtent(endContainer, endOffset, startContainer, startOffset);
    else chosen.setBaseAndExtent(startContainer, startOffset, endContainer, endOffset);
  };
}

const GROWS_BY_ITSELF = CSS.supports("field-sizing", "content");

/** Makes text areas as high as what is in them; all are measured before any is changed. */
export function grow(...areas) {
  if (GROWS_BY_ITSELF) return;
  for (const area of areas) area.style.height = "auto";
  const heights = areas.map((area) => area.scrollHeight);
  areas.forEach((area, index) => {
    area.style.height = `${heights[index]}px`;
  });
}

/** Kept between visits where the browser allows it. */
export const memory = {
  get(name) {
    try {
      return localStorage.getItem(`galley:${name}`);
    } catch {
      return null;
    }
  },
  set(name, value) {
    try {
      localStorage.setItem(`galley:${name}`, value);
      return true;
    } catch {
      return false;
    }
  },
  remove(name) {
    try {
      localStorage.removeItem(`galley:${name}`);
    } catch {
      // Nothing was kept, so nothing is there.
    }
  },
  names(prefix) {
    try {
      return Object.keys(localStorage)
        .filter((name) => name.startsWith(`galley:${prefix}`))
        .map((name) => name.slice("galley:".length));
    } catch {
      return [];
    }
  },
};

// A plain-text editor that keeps its own lines: one <div> a line, so that a key costs one line's layout however long the
// text is, and text can be put at the end while somebody types: cursor, selection and scroll stay as they are. Places are
// units of `text`. Knows nothing of sections, saving or the model.

import { change } from "./places.js";
import { countWords } from "./words.js";

const FROM_THE_RIGHT = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Nko}\p{Script=Syriac}\p{Script=Thaana}]/u;

const LINES_BY_PARAGRAPH = 60; // from so many lines on, putting them in as a whole is much faster

export class Editor {
  #root;
  #counts = new WeakMap(); // line -> {text, words}
  #preview = null; // {start, before, now, chosen}: what is shown for a while, and what stands there

  /** changed: called after every edit of the writer, never after `set` or `append`. */
  constructor(root, changed) {
    this.#root = root;
    document.execCommand("defaultParagraphSeparator", false, "div");
    root.addEventListener("beforeinput", (event) => this.#guard(event));
    root.addEventListener("paste", (event) => this.#paste(event, event.clipboardData));
    root.addEventListener("drop", (event) => this.#drop(event));
    root.addEventListener("input", () => {
      this.#mend();
      changed();
    });
    this.set("");
  }

  get root() {
    return this.#root;
  }

  /** What stands in it; a preview is not part of it. */
  get text() {
    const shown = readLines(this.#root).join("\n");
    if (!this.#preview) return shown;
    const { start, before, now } = this.#preview;
    return shown.slice(0, start) + before + shown.slice(start + now.length);
  }

  get empty() {
    const first = this.#root.firstChild;
    return !first || (first === this.#root.lastChild && first.textContent === "");
  }

  /** Counts line by line and remembers, so that a key in a novel costs one line. */
  get words() {
    let sum = 0;
    for (const line of this.#root.childNodes) {
      const text = line.textContent;
      let known = this.#counts.get(line);
      if (known?.text !== text) {
        known = { text, words: countWords(text) };
        this.#counts.set(line, known);
      }
      sum += known.words;
    }
    return sum;
  }

  /** Makes `text` of it, touching only what differs, so that a cursor elsewhere stays. */
  set(text) {
    this.#preview = null;
    this.#put(text);
  }

  #put(text) {
    const lines = text.split("\n");
    const old = [...this.#root.childNodes];
    const plain = old.every((node) => node.nodeName === "DIV");
    const had = plain ? old.map(lineText) : [];
    let first = 0;
    let kept = 0;
    if (plain) {
      while (first < Math.min(lines.length, had.length) && lines[first] === had[first]) first += 1;
      const most = Math.min(lines.length, had.length) - first;
      while (kept < most && lines[lines.length - 1 - kept] === had[had.length - 1 - kept]) kept += 1;
    }
    const fresh = lines.slice(first, lines.length - kept);
    const gone = old.slice(first, old.length - kept);
    if (plain) {
      // Lines that become others stay elements, and only the words that differ are touched.
      while (fresh.length && gone.length) changeLine(gone.shift(), fresh.shift());
    }
    const before = plain && kept ? old[old.length - kept] : null;
    for (const node of gone) node.remove();
    const made = document.createDocumentFragment();
    for (const line of fresh) made.append(makeLine(line));
    this.#root.insertBefore(made, before);
    this.#mend();
  }

  // -------------------------------------------------------------------------------------------------------- places

  /** {start, end} of what is chosen, start = end for a cursor; null where neither is in here. */
  get chosen() {
    const chosen = getSelection();
    if (!chosen.rangeCount || !this.#root.contains(chosen.anchorNode) || !this.#root.contains(chosen.focusNode)) return null;
    const { startContainer, startOffset, endContainer, endOffset, collapsed } = chosen.getRangeAt(0);
    const start = this.#placeOf(startContainer, startOffset);
    return { start, end: collapsed ? start : this.#placeOf(endContainer, endOffset) };
  }

  /** Puts the cursor to a place, or chooses what lies between two. */
  choose(start, end = start) {
    const range = this.range(start, end);
    getSelection().setBaseAndExtent(range.startContainer, range.startOffset, range.endContainer, range.endOffset);
  }

  /** A Range over a stretch of the text; it moves with what is typed before it. */
  range(start, end) {
    const range = document.createRange();
    range.setStart(...this.#pointAt(start));
    range.setEnd(...this.#pointAt(end));
    return range;
  }

  /** {start, end} of a Range that this editor made. */
  placesOf(range) {
    return { start: this.#placeOf(range.startContainer, range.startOffset), end: this.#placeOf(range.endContainer, range.endOffset) };
  }

  /** The place under a point of the window, or null. */
  placeUnder(x, y) {
    const at = document.caretPositionFromPoint?.(x, y);
    const range = at ? null : document.caretRangeFromPoint?.(x, y);
    const [node, offset] = at ? [at.offsetNode, at.offset] : [range?.startContainer, range?.startOffset];
    return node && this.#root.contains(node) ? this.#placeOf(node, offset) : null;
  }

  #placeOf(node, offset) {
    if (node === this.#root) {
      const before = [...this.#root.childNodes].slice(0, offset);
      return Math.max(0, before.reduce((sum, line) => sum + lineText(line).length + 1, 0) - (offset === this.#root.childNodes.length ? 1 : 0));
    }
    let place = 0;
    for (const line of this.#root.childNodes) {
      if (line.contains(node)) return place + placeInLine(line, node, offset);
      place += lineText(line).length + 1;
    }
    return place;
  }

  #pointAt(place) {
    let left = place;
    for (const line of this.#root.childNodes) {
      const { length } = lineText(line);
      if (left <= length || line === this.#root.lastChild) return pointInLine(line, Math.min(left, length));
      left -= length + 1;
    }
    return [this.#root, 0];
  }

  // ------------------------------------------------------------------------------------------------------- preview

  /** Shows other words at a stretch of the text, until they are set or the preview ends; returns a Range over them. */
  preview(start, end, words) {
    const chosen = this.#preview ? this.#preview.chosen : this.chosen;
    this.#show();
    const { text } = this;
    this.#preview = { start, before: text.slice(start, end), now: words, chosen };
    this.#put(text.slice(0, start) + words + text.slice(end));
    return this.range(start, start + words.length);
  }

  /** What stands there is shown again. */
  endPreview() {
    const { chosen } = this.#preview ?? {};
    this.#show();
    if (chosen && document.activeElement === this.#root) this.choose(chosen.start, chosen.end);
  }

  #show() {
    if (!this.#preview) return;
    const { text } = this;
    this.#preview = null;
    this.#put(text);
  }

  /** Puts text at the end; returns a Range over it. */
  append(text) {
    const range = document.createRange();
    const [more, ...others] = text.split("\n");
    let last = this.#root.lastChild;
    if (last?.nodeName !== "DIV") {
      // The browser left a bare line: give it a line of its own kind without moving what is in it.
      this.set(this.text);
      last = this.#root.lastChild;
    }
    range.selectNodeContents(last);
    range.collapse(false);
    if (more) {
      const end = last.lastChild;
      if (end?.nodeType === Node.TEXT_NODE) {
        const length = end.data.length;
        end.appendData(more);
        range.setStart(end, length);
      } else {
        const put = document.createTextNode(more);
        if (end?.nodeName === "BR") end.before(put), end.remove();
        else last.append(put);
        range.setStart(put, 0);
      }
    }
    const fresh = document.createDocumentFragment();
    for (const line of others) fresh.append(makeLine(line));
    this.#root.append(fresh);
    // In the last line itself, so that the range does not grow with what is appended next.
    const line = this.#root.lastChild;
    const end = line.lastChild?.nodeType === Node.TEXT_NODE ? line.lastChild : line;
    range.setEnd(end, end === line ? 0 : end.data.length);
    this.#mend();
    return range;
  }

  /** How far into its last line the text reaches, in pixels from where lines begin; rtl: that is on the right. */
  end() {
    const last = this.#root.lastChild;
    const walker = document.createTreeWalker(last ?? this.#root, NodeFilter.SHOW_TEXT);
    let node = null;
    while (walker.nextNode()) if (walker.currentNode.data) node = walker.currentNode;
    if (!node || lineText(last) === "") return { reach: 0, rtl: false };
    const rtl = FROM_THE_RIGHT.test(/\p{L}/u.exec(last.textContent)?.[0] ?? "");
    const range = document.createRange();
    range.setStart(node, Math.max(node.data.length - 2, 0));
    range.setEnd(node, node.data.length);
    const box = [...range.getClientRects()].at(-1);
    const lines = this.#root.getBoundingClientRect();
    const reach = box ? (rtl ? lines.right - box.left : box.right - lines.left) : 0;
    return { reach: Math.max(0, reach), rtl };
  }

  #guard(event) {
    this.endPreview();
    if (event.inputType.startsWith("format")) event.preventDefault();
    else if (event.inputType === "insertLineBreak") {
      event.preventDefault();
      document.execCommand("insertParagraph");
    }
  }

  #paste(event, data) {
    event.preventDefault();
    const text = (data?.getData("text/plain") ?? "").replace(/\r\n?/g, "\n");
    if (text) this.#insert(text);
  }

  #drop(event) {
    const text = event.dataTransfer?.getData("text/plain");
    if (!text || event.dataTransfer.types.includes("Files")) {
      event.preventDefault();
      return;
    }
    if (!event.dataTransfer.types.includes("text/html")) return; // plain already: the browser's own way keeps undo whole
    event.preventDefault();
    const range = document.caretRangeFromPoint?.(event.clientX, event.clientY);
    if (!range) return;
    const chosen = getSelection();
    const inside = chosen.rangeCount && this.#root.contains(chosen.anchorNode) && !chosen.isCollapsed;
    if (inside && !event.ctrlKey) {
      // Moving inside the text: keep the place alive while the old one goes.
      const mark = document.createTextNode("");
      range.insertNode(mark);
      document.execCommand("delete");
      range.setStartBefore(mark);
      range.collapse(true);
      mark.remove();
    }
    chosen.removeAllRanges();
    chosen.addRange(range);
    this.#insert(text.replace(/\r\n?/g, "\n"));
  }

  #insert(text) {
    const lines = text.split("\n");
    if (lines.length < LINES_BY_PARAGRAPH) {
      document.execCommand("insertText", false, text);
      return;
    }
    // The border lines join what stands there, so they go in as text; the bulk goes in as lines of their own.
    const bulk = document.createElement("div");
    for (const line of lines.slice(1, -1)) bulk.append(makeLine(line));
    document.execCommand("insertText", false, `${lines[0]}\n`);
    document.execCommand("insertHTML", false, bulk.innerHTML);
    document.execCommand("insertText", false, `\n${lines.at(-1)}`);
  }

  /** An editor without any line has no place for a cursor; and it tells the style sheet whether it is empty. */
  #mend() {
    if (!this.#root.firstChild) this.#root.append(makeLine(""));
    this.#root.classList.toggle("is-empty", this.empty);
  }
}

function makeLine(text) {
  const line = document.createElement("div");
  if (text) line.textContent = text;
  else line.append(document.createElement("br"));
  return line;
}

/** Makes `text` of a line; a cursor in the words that stay stays. */
function changeLine(line, text) {
  const only = line.childNodes.length === 1 && line.firstChild.nodeType === Node.TEXT_NODE ? line.firstChild : null;
  if (only && text) {
    const { start, gone, come } = change(only.data, text);
    only.replaceData(start, gone, text.slice(start, start + come));
  } else line.replaceChildren(...makeLine(text).childNodes);
}

function simple(line) {
  return [...line.childNodes].every((node) => node.nodeType === Node.TEXT_NODE);
}

function placeInLine(line, node, offset) {
  if (!simple(line)) {
    const before = document.createRange();
    before.setStart(line, 0);
    before.setEnd(node, offset);
    return readLines(before.cloneContents()).join("\n").length;
  }
  const children = [...line.childNodes];
  const count = node === line ? offset : children.indexOf(node);
  const before = children.slice(0, count).reduce((sum, text) => sum + text.length, 0);
  return node === line ? before : before + offset;
}

function pointInLine(line, place) {
  const walker = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
  let left = place;
  let last = null;
  while (walker.nextNode()) {
    last = walker.currentNode;
    if (left <= last.length) return [last, left];
    left -= last.length;
  }
  return last ? [last, last.length] : [line, 0];
}

function lineText(line) {
  return line.childNodes.length === 1 && line.firstChild.nodeType === Node.TEXT_NODE
    ? line.firstChild.data
    : readLines(line).join("\n");
}

/** The lines below a node, whatever the browser's editing made of it. */
function readLines(root) {
  const lines = [];
  let line = null;
  const flush = () => {
    if (line !== null) lines.push(line);
    line = null;
  };
  const walk = (node) => {
    for (const child of node.childNodes) {
      if (child.nodeType === Node.TEXT_NODE) {
        if (child.data) line = (line ?? "") + child.data;
      } else if (child.nodeName === "BR") {
        lines.push(line ?? "");
        line = null;
      } else if (child.nodeName === "DIV" || child.nodeName === "P") {
        flush();
        const before = lines.length;
        walk(child);
        flush();
        if (lines.length === before) lines.push("");
      } else {
        walk(child);
      }
    }
  };
  walk(root);
  flush();
  return lines;
}

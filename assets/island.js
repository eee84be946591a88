// The live block: a fixed number of slots that stands where the text ends. A masked slot is a thin bar of a typical
// word's width; a token fades in; how sure the model is shows as the weight of a line under it. Knows nothing of jobs.

import { el } from "./dom.js";

// Surer than this: no line, a faint one, a plain one; less: a heavy one. Half the words of good prose are below 0.5.
const LEVELS = [0.5, 0.2, 0.05];

export class Island {
  #host;
  #editor;
  #slots = [];
  #shown = [];
  #placed = "";

  constructor(host, editor) {
    this.#host = host;
    this.#editor = editor;
    new ResizeObserver(() => this.place()).observe(host.parentElement);
  }

  get open() {
    return this.#slots.length > 0;
  }

  /** slots: [{text or null, confidence}]. quiet: the bars stand for the block, its words wait until it locks in. */
  draw(slots, { quiet = false } = {}) {
    const wasOpen = this.open;
    if (slots.length !== this.#slots.length) {
      this.#slots = slots.map(() => el("span", { class: "slot masked" }, "", el("span", { class: "word" })));
      this.#shown = slots.map(() => null);
      this.#host.replaceChildren(...this.#slots);
    }
    slots.forEach((slot, index) => {
      const text = quiet ? null : slot.text;
      const look = text === null ? "slot masked" : `slot sure-${level(slot.confidence)}`;
      const node = this.#slots[index];
      if (this.#shown[index] !== text) {
        fill(node, text ?? "");
        node.classList.remove("in");
        if (text !== null) {
          void node.offsetWidth; // the fade begins anew
          node.className = `${look} in`;
        } else node.className = look;
        this.#shown[index] = text;
      } else if (text !== null) node.className = `${look} in`;
    });
    if (!wasOpen) this.place();
  }

  /** All masked: the next block is on its way. */
  mask(count) {
    this.draw(Array.from({ length: count }, () => ({ text: null, confidence: 0 })));
  }

  clear() {
    if (!this.open) return;
    this.#slots = [];
    this.#shown = [];
    this.#placed = "";
    this.#host.replaceChildren();
  }

  /** Puts the first slot right behind the last word. */
  place() {
    if (!this.open) return;
    const { reach, rtl } = this.#editor.end();
    const placed = `${reach.toFixed(1)}px`;
    if (placed !== this.#placed) {
      this.#host.style.setProperty("--from", placed);
      this.#host.dir = rtl ? "rtl" : "ltr";
      this.#placed = placed;
    }
  }
}

/** The space before a word stays outside the line under it. Nodes stay: a changed word is no new element. */
function fill(slot, text) {
  const word = text.trimStart();
  slot.firstChild.data = text.slice(0, text.length - word.length);
  slot.lastChild.textContent = word;
}

function level(confidence) {
  const index = LEVELS.findIndex((least) => confidence >= least);
  return index < 0 ? LEVELS.length : index;
}

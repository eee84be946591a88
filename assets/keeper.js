// Keeps one section safe: saves what is typed within a second, keeps it in the browser while the desk is away, and puts
// locked blocks behind it in the right order. Knows nothing of the page's look.
//
// The server's rule: a save names the revision it was made on and how many of the section's blocks its text covers
// (`seen`); blocks that the model appended since stay behind it. A save can change how the covered text is cut into
// blocks, so places told before it are shifted by what it changed.

import { Away, Refusal, ask, read } from "./api.js";
import { memory } from "./dom.js";

const IDLE_MS = 400;
const LATEST_MS = 1000;
const AGAIN_MS = 2000;

const TAB = Math.random().toString(36).slice(2);

export class Keeper {
  #hooks;
  #timer = 0;
  #since = 0; // when the oldest unsaved key was pressed
  #typed = false;
  #fields = null;
  #sending = null; // the flush under way
  #held = []; // locked blocks told while a save is under way
  #shifts = new Map(); // revision before a save -> by how much places after it moved
  #there = 0; // blocks of the section when it was last saved
  #paused = false; // while the writer decides between two texts
  #closed = false;
  #steps = Promise.resolve(); // the last step asked for; one after the other

  /**
   * hooks: text() → what stands in the editor, null where the text is not open; append(text, event); adopt(section)
   * replaces all; step(answer) does after `step`; saved(state, sentence); stale(mine, theirs) → promise of "mine",
   * "theirs" or "both"; changed(line) tells the section's new facts; gone().
   */
  constructor(section, born, hooks) {
    this.id = section.id;
    this.born = born;
    this.revision = section.revision;
    this.seen = section.blocks;
    this.#hooks = hooks;
  }

  get unsaved() {
    return this.#typed || this.#fields !== null || this.#sending !== null;
  }

  /** The writer changed the text. */
  edit() {
    this.#typed = true;
    this.#hooks.saved("typing");
    this.#schedule();
  }

  /** The writer changed the title, brief, target or status. */
  change(fields) {
    this.#fields = { ...this.#fields, ...fields };
    this.#hooks.saved("typing");
    this.#schedule();
  }

  #schedule() {
    const now = performance.now();
    if (!this.#since) this.#since = now;
    clearTimeout(this.#timer);
    const wait = Math.min(IDLE_MS, Math.max(0, this.#since + LATEST_MS - now));
    this.#timer = setTimeout(() => this.flush(), wait);
  }

  /** Saves what is unsaved; resolves when there is nothing more to do now. */
  flush({ leaving = false } = {}) {
    clearTimeout(this.#timer);
    if (leaving) this.#keep();
    if (this.#sending && !leaving) return this.#sending.then(() => (this.#pending() ? this.flush() : undefined));
    if (!this.#pending() || this.#paused || this.#sending) return Promise.resolve();
    this.#sending = this.#send(leaving).finally(() => {
      this.#sending = null;
      this.#release();
    });
    return this.#sending;
  }

  #pending() {
    return this.#typed || this.#fields !== null;
  }

  async #send(leaving) {
    this.#since = 0;
    this.#hooks.saved("saving");
    try {
      while (this.#pending() && !this.#paused) {
        if (this.#fields) await this.#sendFields(leaving);
        else await this.#sendText(leaving);
      }
      if (!this.#pending()) {
        memory.remove(this.#name());
        this.#hooks.saved("saved");
      }
    } catch (error) {
      if (error instanceof Away) {
        this.#keep();
        this.#hooks.saved("away");
        clearTimeout(this.#timer);
        if (!this.#closed || this.#pending()) this.#timer = setTimeout(() => this.flush(), AGAIN_MS);
      } else if (error instanceof Refusal && error.kind === "NotFound") {
        // Deleted elsewhere; the desk has put what it refused into the history.
        this.#typed = false;
        this.#fields = null;
        memory.remove(this.#name());
        this.#hooks.gone(error.message);
      } else if (error instanceof Refusal) {
        this.#keep();
        this.#hooks.saved("refused", error.message);
        if (error.status >= 500) this.#timer = setTimeout(() => this.flush(), AGAIN_MS);
      } else throw error;
    }
  }

  /** The server's facts of the section; what the writer has changed since is newer. */
  #tell(section) {
    this.#hooks.changed({ ...section, ...this.#fields });
  }

  async #sendText(leaving) {
    const text = this.#hooks.text();
    const { revision, seen } = this;
    this.#typed = false;
    try {
      const answer = await ask(
        "save_text",
        { section_id: this.id, revision, seen_blocks: seen, text },
        { leaving },
      );
      this.#shifts.set(revision, answer.seen - seen);
      this.revision = answer.section.revision;
      this.seen = answer.seen;
      this.#there = answer.section.blocks;
      this.#tell(answer.section);
    } catch (error) {
      this.#typed = true;
      if (!(error instanceof Refusal && error.kind === "StaleRevision")) throw error;
      await this.#decide(error.theirs);
    }
  }

  async #sendFields(leaving) {
    const fields = this.#fields;
    this.#fields = null;
    const { revision } = this;
    try {
      const { section } = await ask("change_section", { section_id: this.id, revision, ...fields }, { leaving });
      this.#shifts.set(revision, 0);
      this.revision = section.revision;
      this.#tell(section);
    } catch (error) {
      if (error instanceof Refusal && error.status === 400) {
        this.#hooks.saved("refused", error.message); // a value that is not possible; the field shows it, nothing is lost
        this.#hooks.invalid(fields, error.message);
        return;
      }
      if (error instanceof Refusal && error.kind === "NotFound" && this.#typed) return; // the text is refused, and kept, too
      this.#fields = { ...fields, ...this.#fields };
      if (!(error instanceof Refusal && error.kind === "StaleRevision")) throw error;
      await this.#decide(error.theirs, fields);
    }
  }

  /** The section was changed elsewhere: the writer sees both and chooses. */
  async #decide(theirs, fields = null) {
    this.#keep();
    this.#hooks.saved("refused", "Changed elsewhere; choose which text to keep.");
    this.#paused = true;
    const mine = this.#hooks.text() ?? theirs.text;
    let choice;
    try {
      choice = await this.#hooks.stale({ text: mine, fields }, theirs, this.#typed);
    } finally {
      this.#paused = false;
    }
    this.revision = theirs.revision;
    this.seen = theirs.blocks;
    this.#shifts.clear();
    if (choice === "theirs") {
      this.#typed = false;
      this.#fields = null;
      this.#hooks.adopt(theirs);
    } else if (choice === "both") {
      const both = [theirs.text, mine].filter((text) => text.trim()).join("\n\n");
      this.#hooks.adopt({ ...theirs, ...(this.#fields ?? {}), text: theirs.text === mine ? mine : both });
      this.#typed = true;
    } else {
      this.#typed = this.#typed || theirs.text !== mine;
      this.#hooks.adopt({ ...theirs, ...(this.#fields ?? {}), text: mine });
    }
  }

  // ------------------------------------------------------------------------------------ changes the server makes

  /**
   * Asks for a change of the text that the server makes, such as an undo, once all that was typed is saved. Resolves to its
   * answer when the editor has the new text; null where there is none to be had now. A refusal is thrown.
   */
  step(verb, given) {
    const stepping = this.#steps.then(() => this.#stepNow(verb, given));
    this.#steps = stepping.catch(() => {});
    return stepping;
  }

  async #stepNow(verb, given) {
    await this.flush();
    if (this.#pending() || this.#paused || this.#closed || this.#sending) return null;
    const stepping = this.#step(verb, given);
    this.#sending = stepping.then(() => {}, () => {}).finally(() => {
      this.#sending = null;
      this.#release();
      if (this.#pending()) this.flush();
    });
    return stepping;
  }

  async #step(verb, given) {
    const { seen } = this;
    const answer = await ask(verb, { section_id: this.id, revision: this.revision, ...given });
    this.revision = answer.section.revision;
    this.#shifts.clear();
    if (this.#typed) {
      // What was typed while it was under way goes before it: the text as it was, with these words, is saved anew.
      this.seen = seen < answer.seen ? seen : answer.seen;
      return null;
    }
    this.seen = answer.seen;
    this.#hooks.step(answer);
    this.#tell(answer.section);
    return answer;
  }

  // ---------------------------------------------------------------------------------------------- locked blocks

  /** A "locked" event of this section. */
  locked(event) {
    if (this.#sending || this.#paused) this.#held.push(event);
    else this.#take(event);
  }

  #release() {
    const held = this.#held;
    this.#held = [];
    for (const event of held) this.locked(event);
    if (this.#there > this.seen && !this.#paused) this.catchUp();
    this.#there = 0;
  }

  #take(event) {
    let place = event.index;
    for (let revision = event.revision; revision < this.revision; revision += 1) {
      if (!this.#shifts.has(revision)) return this.catchUp();
      place += this.#shifts.get(revision);
    }
    if (event.revision > this.revision || place > this.seen) return this.catchUp();
    if (place < this.seen) return undefined; // it stood there already when the section was read
    this.seen += 1;
    this.#hooks.append(event.block.text, event);
    return undefined;
  }

  /** Reads the section again: after a break of the events, or when another tab changed it. */
  async catchUp() {
    if (this.#sending || this.#paused) {
      await this.#sending;
      if (this.#paused) return;
    }
    const { seen } = this;
    let answer;
    try {
      answer = await read("section", { section_id: this.id, seen });
    } catch (error) {
      if (error instanceof Refusal && error.kind === "NotFound") this.#hooks.gone(error.message);
      else if (!(error instanceof Away)) throw error;
      return;
    }
    if (this.#closed || this.#sending || this.seen !== seen) return;
    const { section } = answer;
    if (section.revision < this.revision) return;
    if (!this.#pending()) {
      this.revision = section.revision;
      this.seen = section.blocks;
      this.#shifts.clear();
      this.#hooks.adopt(section);
      this.#tell(section);
    } else if (section.revision === this.revision) {
      if (section.blocks > this.seen) {
        this.seen = section.blocks;
        this.#hooks.append(answer.tail, null);
      }
    } else this.flush(); // the server refuses it and hands out both texts
  }

  /** A "changed" event of this section. */
  async heard(revision) {
    await this.#sending;
    if (revision > this.revision && !this.#closed) await this.catchUp();
  }

  // ------------------------------------------------------------------------------- while the desk is away

  #name() {
    return `unsaved:${this.id}:${TAB}`;
  }

  #keep() {
    if (!this.#pending() && !this.#sending) return;
    const { born, revision, seen } = this;
    memory.set(this.#name(), JSON.stringify({ born, revision, seen, text: this.#hooks.text(), fields: this.#fields }));
  }

  /** Takes up what an earlier visit could not save. Call right after the section was put into the editor. */
  restore(section) {
    for (const name of memory.names(`unsaved:${this.id}:`)) {
      let left;
      try {
        left = JSON.parse(memory.get(name));
      } catch {
        left = null;
      }
      memory.remove(name);
      // Another data folder may have a section of the same number; the document's hour of birth tells them apart.
      if (!left || left.born !== this.born) continue;
      const text = left.text ?? section.text; // null: only fields were changed, the text was not open
      if (text === section.text && !left.fields) continue;
      this.revision = left.revision; // where that is not the newest, the server hands out both texts
      this.seen = left.seen;
      this.#hooks.adopt({ ...section, ...(left.fields ?? {}), text });
      this.#fields = left.fields ?? null;
      this.#typed = text !== section.text;
      this.#keep();
      this.flush();
      return;
    }
  }

  /** No more of this section is shown; what is unsaved is still sent. */
  close() {
    this.#closed = true;
    return this.flush();
  }
}

// The dial: one slider over the named stops, and the settings behind it. Knows what each stop costs; does not write.

import { $, el, memory, say, show } from "./dom.js";
import { duration } from "./words.js";

const FIELDS = {
  block_size: "set-size",
  steps: "set-steps",
  rule: "set-rule",
  threshold: "set-threshold",
  temperature: "set-temperature",
  nucleus: "set-nucleus",
  repeat_penalty: "set-penalty",
};

const RULES = {
  "first-hitting": "First hitting",
  confidence: "Most confident first",
  threshold: "Confidence threshold",
  verified: "Verified prefix",
};

const FROM = { desk: "", document: " Set for this document.", section: " Set for this section." };

/** What is kept as JSON, or null. */
function read(text) {
  try {
    return JSON.parse(text || "null");
  } catch {
    return null;
  }
}

export class DialView {
  #stops = [];
  #default = "";
  #sizes = [];
  #rules = [];
  #stop = null; // the named stop, or null for the writer's own setting
  #dial = null;
  #seconds = {};
  #what = "this section"; // that they are for
  #level = "desk"; // what the setting is kept with
  #desks = {}; // the desk's own setting, as it is kept
  #changed;
  #keepWith;

  /** changed(): another setting is in force. keepWith(level, kept): keep it with the "document" or "section"; null: none. */
  constructor(changed, keepWith) {
    this.#changed = changed;
    this.#keepWith = keepWith;
    $("set-scope").addEventListener("change", () => this.#rescope($("set-scope").value));
    $("dial").addEventListener("input", () => this.#choose(this.#stops[Number($("dial").value)]));
    $("settings").addEventListener("input", (event) => ["set-seed", "set-scope"].includes(event.target.id) || this.#own());
    $("settings").addEventListener("submit", (event) => event.preventDefault());
  }

  /** model: the facts of the catalogue. */
  begin(model) {
    this.#stops = model.stops;
    this.#default = model.default_stop;
    this.#sizes = model.block_sizes;
    this.#rules = model.rules;
    $("dial").max = String(model.stops.length - 1);
    show($("dial"), model.stops.length > 1);
    say($("dial-name"), `Dial: from ${model.stops[0].name} to ${model.stops.at(-1).name}`);
    $("set-size").replaceChildren(...model.block_sizes.map((size) => el("option", { value: String(size) }, String(size))));
    $("set-rule").replaceChildren(...model.rules.map((rule) => el("option", { value: rule }, RULES[rule] ?? rule)));
    $("stops").replaceChildren(
      ...model.stops.map((stop) =>
        el(
          "span",
          { class: "tick", title: stop.gives, onclick: () => this.#choose(stop) },
          el("span", { class: "tick-name" }, stop.name),
          el("span", { class: "tick-seconds" }),
        ),
      ),
    );
    this.#desks = read(memory.get("dial")) ?? {};
    this.#level = "desk";
    this.#take(this.#desks);
    this.#draw();
  }

  /** What the open section and its document keep, as JSON or null: the nearest one that this model can do is in force. */
  follow(section, document) {
    if (!this.#dial) return;
    const before = JSON.stringify([this.#stop?.name, this.#dial]);
    const levels = [["section", read(section)], ["document", read(document)], ["desk", this.#desks]];
    const [level, kept] = levels.find(([name, each]) => name === "desk" || this.#possible(each));
    this.#level = level;
    this.#take(kept);
    this.#draw();
    if (JSON.stringify([this.#stop?.name, this.#dial]) !== before) this.#changed();
  }

  /** What was kept may have been set for another model. */
  #possible(kept) {
    if (this.#stops.some((stop) => stop.name === kept?.stop)) return true;
    return this.#sizes.includes(kept?.dial?.block_size) && this.#rules.includes(kept.dial.rule);
  }

  #take(kept) {
    const named = this.#stops.find((stop) => stop.name === kept?.stop);
    if (!named && this.#possible(kept)) {
      this.#stop = null;
      this.#dial = { repeat_penalty: 0, ...kept.dial }; // settings of former days had none
      return;
    }
    this.#stop = named ?? this.#stops.find((each) => each.name === this.#default);
    this.#dial = { ...this.#stop.dial };
  }

  /** The setting in force is kept with something else from now on; what is nearer than that lets go of its own. */
  #rescope(level) {
    const nearer = { desk: ["section", "document"], document: ["section"], section: [] }[level];
    for (const each of nearer) this.#keepWith(each, null);
    this.#level = level;
    this.#keep();
  }

  /** What a request says of the dial. */
  get request() {
    const seed = $("set-seed").value === "" ? {} : { seed: Number($("set-seed").value) };
    return this.#stop ? { stop_name: this.#stop.name, ...seed } : { dial: this.#dial, ...seed };
  }

  /** The stops as commands. */
  get choices() {
    return this.#stops.map((stop) => ({ id: `stop-${stop.name}`, title: `Dial: ${stop.name}`, group: "Writing", run: () => this.#choose(stop) }));
  }

  get own() {
    return this.#stop ? null : this.#dial;
  }

  /** Seconds that writing `what` would take: {stop name: seconds or null}, and those of an own setting. */
  predicted(seconds, own, what) {
    this.#seconds = { ...seconds, own };
    this.#what = what;
    this.#draw();
  }

  #choose(stop) {
    this.#stop = stop;
    this.#dial = { ...stop.dial };
    this.#keep();
  }

  #own() {
    const dial = {};
    for (const [name, id] of Object.entries(FIELDS)) dial[name] = name === "rule" ? $(id).value : Number($(id).value);
    dial.steps = Math.round(Math.min(Math.max(dial.steps || 1, 1), dial.block_size));
    this.#dial = dial;
    const same = (stop) => Object.entries(stop.dial).every(([name, value]) => dial[name] === value);
    this.#stop = this.#stops.find(same) ?? null;
    this.#keep();
  }

  #keep() {
    const kept = this.#stop ? { stop: this.#stop.name } : { dial: this.#dial };
    if (this.#level === "desk") {
      this.#desks = kept;
      memory.set("dial", JSON.stringify(kept));
    } else this.#keepWith(this.#level, JSON.stringify(kept));
    this.#draw();
    this.#changed();
  }

  unfold() {
    const open = $("settings").hidden;
    show($("settings"), open);
    $("unfold").setAttribute("aria-expanded", String(open));
  }

  #draw() {
    const at = this.#stop ? this.#stops.indexOf(this.#stop) : -1;
    const slider = $("dial");
    if (at >= 0) slider.value = String(at);
    slider.classList.toggle("own", at < 0);
    [...$("stops").children].forEach((tick, index) => {
      tick.classList.toggle("at", index === at);
      const seconds = this.#seconds[this.#stops[index].name];
      say(tick.querySelector(".tick-seconds"), seconds ? duration(seconds) : "");
    });
    for (const [name, id] of Object.entries(FIELDS)) {
      if (document.activeElement !== $(id)) $(id).value = String(this.#dial[name]);
    }
    $("set-steps").max = String(this.#dial.block_size);
    say($("set-threshold-name"), this.#dial.rule === "verified" ? "Leniency" : "Threshold");
    if (document.activeElement !== $("set-scope")) $("set-scope").value = this.#level;
    say($("facts"), this.#facts());
    slider.setAttribute("aria-valuetext", this.#stop ? `${this.#stop.name}` : "your own setting");
  }

  #facts() {
    return `${this.#costs()}${FROM[this.#level]}`;
  }

  #costs() {
    const seconds = this.#stop ? this.#seconds[this.#stop.name] : this.#seconds.own;
    const time = seconds ? ` About ${duration(Math.max(seconds, 1))} for ${this.#what} here.` : "";
    if (!this.#stop) {
      const { block_size: size, steps, rule } = this.#dial;
      return `Your own setting: blocks of ${size}, ${steps} ${steps === 1 ? "step" : "steps"}, ${(RULES[rule] ?? rule).toLowerCase()}.${time}`;
    }
    const { gives, nfe_per_token: nfe, nll } = this.#stop;
    const measured = nll === null ? "" : ` and ${nll.toFixed(2)} nats (NLL)`;
    return `${gives} ${nfe.toFixed(2)} forwards${measured} a token.${time}`;
  }
}

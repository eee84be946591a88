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
};

const RULES = {
  "first-hitting": "First hitting",
  confidence: "Most confident first",
  threshold: "Confidence threshold",
  verified: "Verified prefix",
};

export class DialView {
  #stops = [];
  #stop = null; // the named stop, or null for the writer's own setting
  #dial = null;
  #seconds = {};
  #changed;

  constructor(changed) {
    this.#changed = changed;
    $("dial").addEventListener("input", () => this.#choose(this.#stops[Number($("dial").value)]));
    $("settings").addEventListener("input", (event) => event.target.id !== "set-seed" && this.#own());
    $("settings").addEventListener("submit", (event) => event.preventDefault());
    $("unfold").addEventListener("click", () => this.#unfold($("settings").hidden));
  }

  /** model: the facts of the catalogue. */
  begin(model) {
    this.#stops = model.stops;
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
    let kept = null;
    try {
      kept = JSON.parse(memory.get("dial"));
    } catch {
      kept = null;
    }
    const named = model.stops.find((stop) => stop.name === kept?.stop);
    // What was kept may have been set for another model.
    const possible = model.block_sizes.includes(kept?.dial?.block_size) && model.rules.includes(kept.dial.rule);
    if (possible && !named) {
      this.#stop = null;
      this.#dial = kept.dial;
    } else {
      const stop = named ?? model.stops.find((each) => each.name === model.default_stop);
      this.#stop = stop;
      this.#dial = { ...stop.dial };
    }
    this.#draw();
  }

  /** What a request says of the dial. */
  get request() {
    const seed = $("set-seed").value === "" ? {} : { seed: Number($("set-seed").value) };
    return this.#stop ? { stop_name: this.#stop.name, ...seed } : { dial: this.#dial, ...seed };
  }

  get own() {
    return this.#stop ? null : this.#dial;
  }

  /** Seconds that writing the section would take: {stop name: seconds or null}, and those of an own setting. */
  predicted(seconds, own) {
    this.#seconds = { ...seconds, own };
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
    memory.set("dial", JSON.stringify(this.#stop ? { stop: this.#stop.name } : { dial: this.#dial }));
    this.#draw();
    this.#changed();
  }

  #unfold(open) {
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
    const facts = this.#facts();
    say($("facts"), facts);
    slider.setAttribute("aria-valuetext", this.#stop ? `${this.#stop.name}` : "your own setting");
  }

  #facts() {
    const seconds = this.#stop ? this.#seconds[this.#stop.name] : this.#seconds.own;
    const time = seconds ? ` About ${duration(Math.max(seconds, 1))} for this section here.` : "";
    if (!this.#stop) {
      const { block_size: size, steps, rule } = this.#dial;
      return `Your own setting: blocks of ${size}, ${steps} ${steps === 1 ? "step" : "steps"}, ${(RULES[rule] ?? rule).toLowerCase()}.${time}`;
    }
    const { gives, nfe_per_token: nfe, nll } = this.#stop;
    const measured = nll === null ? "" : ` and ${nll.toFixed(2)} nats (NLL)`;
    return `${gives} ${nfe.toFixed(2)} forwards${measured} a token.${time}`;
  }
}

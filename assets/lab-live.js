// Two systems on one prompt, live: asks for a comparison, follows its stream, draws both sides.

import { command } from "./commands.js";
import { $, el, memory, say, show } from "./dom.js";
import { Island } from "./island.js";
import { glow } from "./marks.js";

const SIDES = ["first", "second"];
const NO_EDITOR = { end: () => ({ reach: 0, rtl: false }) };
const still = matchMedia("(prefers-reduced-motion: reduce)");
const quiet = () => still.matches || memory.get("quiet") === "yes";

let panes = [];
let run = null; // {abort, id} while one is under way

/** found: what the server says there is. */
export function live({ networks, sentence, most_tokens: mostTokens, most_prompt: mostPrompt, most_steps: mostSteps }) {
  say($("live-none"), sentence ?? "");
  show($("live-none"), Boolean(sentence));
  show($("live-form"), !sentence);
  if (sentence) return;
  $("tokens").max = mostTokens;
  $("steps").max = mostSteps;
  $("prompt").maxLength = mostPrompt;
  $("prompt").value = memory.get("lab:prompt") ?? "";
  SIDES.forEach((side, at) => fillSelect($(side), networks, memory.get(`lab:${side}`), at));
  panes = SIDES.map((side) => new Pane(side));
  $("run").addEventListener("click", () => (run ? stop() : start()));
}

function fillSelect(select, networks, kept, at) {
  select.replaceChildren(...networks.map(({ id, title }) => el("option", { value: id }, title)));
  const chosen = networks.findIndex((each) => each.id === kept);
  select.selectedIndex = chosen >= 0 ? chosen : Math.min(at, networks.length - 1);
}

class Pane {
  #island;
  #locked = el("span");
  #host = el("span");
  #prompt = el("span", { class: "pane-prompt" });
  #meter;
  #note;

  constructor(side) {
    this.select = $(side);
    this.#meter = $(`${side}-meter`);
    this.#note = $(`${side}-note`);
    $(`${side}-text`).replaceChildren(this.#prompt, this.#locked, this.#host);
    this.#island = new Island(this.#host, NO_EDITOR);
  }

  clear(prompt) {
    this.#prompt.textContent = prompt;
    this.#locked.textContent = "";
    this.#island.clear();
    this.#meter.replaceChildren();
    this.note(null);
  }

  note(sentence, bad = false) {
    say(this.#note, sentence ?? "");
    this.#note.classList.toggle("bad", bad);
    show(this.#note, Boolean(sentence));
  }

  /** picture: {locked, slots: [{text, sure}], tokens, nfe, seconds, done} */
  draw({ locked, slots, tokens, nfe, seconds }) {
    this.#lock(locked);
    if (slots.length) this.#island.draw(slots.map(({ text, sure }) => ({ text, confidence: sure ? 1 : 0 })), { quiet: quiet() });
    else this.#island.clear();
    this.#figure("NFE", nfe.toLocaleString("en"), "Network forwards (function evaluations)");
    this.#figure("Seconds", seconds.toFixed(seconds < 1 ? 2 : 1));
    this.#figure("Tokens/s", seconds > 0 && tokens ? (tokens / seconds).toFixed(1) : "");
  }

  read({ perplexity, problem }) {
    if (perplexity === null) this.note(problem);
    else this.#figure("Perplexity", perplexity.toLocaleString("en", { maximumSignificantDigits: 3 }));
  }

  /** Finished blocks are only ever added to. */
  #lock(text) {
    const before = this.#locked.textContent;
    if (text === before) return;
    if (!text.startsWith(before)) {
      this.#locked.textContent = text;
      return;
    }
    const node = document.createTextNode(text.slice(before.length));
    this.#locked.append(node);
    if (quiet()) return;
    const range = document.createRange();
    range.selectNodeContents(node);
    glow(range);
  }

  #figure(name, value, title) {
    const own = [...this.#meter.children].find((each) => each.firstChild.textContent === name);
    if (own) say(own.lastChild, value);
    else this.#meter.append(el("div", {}, el("dt", {}, title ? el("abbr", { title }, name) : name), el("dd", {}, value)));
  }
}

async function start() {
  const abort = new AbortController();
  run = { abort, id: null };
  const given = {
    first: $("first").value,
    second: $("second").value,
    prompt: $("prompt").value,
    tokens: Number($("tokens").value),
    steps: Number($("steps").value),
    seed: $("seed").value === "" ? null : Number($("seed").value),
  };
  memory.set("lab:prompt", given.prompt);
  SIDES.forEach((side) => memory.set(`lab:${side}`, given[side]));
  panes.forEach((pane) => pane.clear(given.prompt));
  drawRunning();
  tell("Asking …");
  try {
    await follow(given, abort.signal);
  } catch (error) {
    if (error.name !== "AbortError") tell(error instanceof TypeError ? "The desk is not running any more; start it and reload this page." : error.message, true);
  }
  run = null;
  drawRunning();
}

async function follow(given, signal) {
  const response = await fetch("/desk/lab/run", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(given),
    signal,
  });
  if (!response.ok) throw new Error((await response.json()).sentence);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let over = false;
  for (let rest = ""; ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events.filter((each) => each.startsWith("data: "))) {
      const heard = JSON.parse(event.slice("data: ".length));
      over ||= heard.type === "over";
      hear(heard);
    }
  }
  if (!over) throw new Error("The desk ended before both were done; what was written so far is shown.");
}

function hear(event) {
  switch (event.type) {
    case "opening":
      run.id = event.id;
      $("seed").placeholder = event.seed; // what this comparison can be had again with
      tell(event.sentence);
      break;
    case "begun":
      event.problems.forEach((problem, at) => problem && panes[at].note(problem, true));
      tell("Both write, in turns.");
      if (event.problems.some(Boolean)) tell("One side cannot write this.");
      break;
    case "pause":
      tell(event.sentence ?? "Both write, in turns.");
      break;
    case "step":
      event.sides.forEach((picture, at) => picture && panes[at].draw(picture));
      if (event.sides.every((picture) => !picture || picture.done)) tell("The texts are being read for their perplexity.");
      break;
    case "read":
      panes[event.side].read(event);
      break;
    case "over":
      tell(event.sentence, event.state === "failed");
      break;
    default:
      break;
  }
}

async function stop() {
  if (!run) return;
  $("run").disabled = true;
  const { id, abort } = run;
  if (id === null) {
    abort.abort();
    tell("Stopped.");
    return;
  }
  try {
    await fetch("/desk/lab/stop", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ id }) });
  } catch {
    abort.abort(); // nobody is there to be told
  }
}

function tell(sentence, bad = false) {
  say($("live-says"), sentence);
  $("live-says").classList.toggle("bad", bad);
}

function drawRunning() {
  const going = Boolean(run);
  say($("run"), going ? "Stop" : "Compare");
  $("run").classList.toggle("stop", going);
  $("run").disabled = false;
  for (const pane of panes) pane.select.disabled = going;
}

const possible = () => panes.length > 0;
command({ id: "lab-run", title: "Compare the two systems", group: "Lab", keys: "Mod+Enter", when: () => possible() && !run, run: start });
command({ id: "lab-stop", title: "Stop the comparison", group: "Lab", keys: "Escape", when: () => Boolean(run), run: stop });

// Writing with the model: the button, the dial, the meter and the line that says how the model is.

import { attempt, inquire } from "./asking.js";
import { ariaKeys, command, commandSource, keyName, keysOf } from "./commands.js";
import { DialView } from "./dial.js";
import { $, say, show } from "./dom.js";
import { changeDocument, saveDocument } from "./documents.js";
import { flushLines } from "./lines.js";
import { focusOpening, sheet } from "./sheet.js";
import { desk, isWriting, on, revisingHere, runningJob, tell, writingHere, writingJob } from "./state.js";
import { follow } from "./tail.js";
import { later, takeLatest } from "./timing.js";
import { setView } from "./views.js";
import { duration, number, ordinal, words } from "./words.js";

const LEAST_WORDS = 10; // lacking fewer, a section has reached its target
const PARAGRAPH = 60; // words; what is written on then

const predictSoon = later(predict, 350);
const dial = new DialView(predictSoon, keepDial);
let asked = false; // the answer is on its way

export async function write() {
  const { keeper } = sheet;
  if (!keeper) return;
  const { section } = desk;
  setView("edit");
  await Promise.all([saveDocument(), keeper.flush()]);
  if (keeper.unsaved || sheet.keeper !== keeper) return;
  follow();
  asked = true;
  draw();
  const answer = await attempt("write", { section_id: section.id, ...lengthWanted(), ...dial.request });
  asked = false;
  draw();
  if (!answer && !section.brief && !section.title) focusOpening();
}

/** Stops a job, or takes it out of the line. */
function stop(job = stoppable()) {
  if (!job || job.stopping) return;
  job.stopping = true;
  draw();
  attempt("stop", { job: job.job });
}

/** Nothing where the section's target tells how much; it may be passed by a paragraph. */
function lengthWanted() {
  const { words: count, target } = lengths();
  return count > 0 && target - count < LEAST_WORDS ? { words: PARAGRAPH } : {};
}

function lengths() {
  return { words: sheet.editor ? sheet.editor.words : desk.section.words, target: desk.section.target_words };
}

/** What Esc stops: what is done to the open section; where all of them are shown, what the model is at. */
function stoppable() {
  return revisingHere() ?? writingJob(desk.section?.id) ?? (desk.view === "outline" ? runningJob() : null);
}

/** Keeps a setting of the dial with the open section or its document; null: none of its own any more. */
function keepDial(level, kept) {
  const holder = level === "section" ? desk.section : desk.outline;
  if (!holder || (holder.dial ?? null) === kept) return;
  if (level === "document") changeDocument({ dial: kept ?? "" });
  else {
    desk.section.dial = kept;
    sheet.keeper.change({ dial: kept ?? "" });
  }
}

const followDial = () => desk.section && dial.follow(desk.section.dial, desk.outline?.dial);

async function writeAll() {
  await Promise.all([saveDocument(), sheet.keeper?.flush(), flushLines()]);
  const { seed: _, ...asked } = dial.request;
  await attempt("write_all", { document_id: desk.outline.id, ...asked });
}

function stopAll() {
  for (const job of [...desk.jobs].reverse()) stop(job);
}

/** The dial, as a request says it. */
export const dialRequest = () => dial.request;

const predictedAll = takeLatest((given) => inquire("predict_all", given));
const predictedHere = takeLatest((given) => inquire("predict", given));

async function predict() {
  const { keeper } = sheet;
  const own = dial.own ? { dial: dial.own } : {};
  if (keeper && desk.view === "outline" && desk.engine?.state === "ready") {
    const { id } = desk.outline;
    const answer = await predictedAll({ document_id: id, ...own });
    if (answer && desk.view === "outline" && desk.outline?.id === id) dial.predicted(answer.stops, answer.seconds, "all that is to be written");
    return;
  }
  if (!keeper || writingJob(keeper.id) || desk.engine?.state !== "ready") return;
  const answer = await predictedHere({ section_id: keeper.id, ...lengthWanted(), ...own });
  if (answer && sheet.keeper === keeper && desk.view !== "outline") dial.predicted(answer.stops, answer.seconds, "this section");
}

async function retry() {
  await attempt("retry", {}); // what becomes of it is told by events, and may be told before the answer is here
}

// ----------------------------------------------------------------------------------------------------------- drawing

function draw() {
  const { section, engine, meter } = desk;
  if (!section) return;
  const job = writingJob(section.id);
  const here = writingHere();
  const { words: count, target } = lengths();
  const lacking = target - count;
  const button = $("write");
  button.classList.toggle("stop", Boolean(job));
  const keys = keysOf(job ? "stop" : "write");
  button.setAttribute("aria-keyshortcuts", ariaKeys(keys));
  say($("write-key"), keyName(keys[0]));
  let [label, much] = ["Write", ` ${words(section.target_words)}`];
  if (job) [label, much] = [job.stopping ? "Stopping" : "Stop", ""];
  else if (count > 0) [label, much] = ["Continue", lacking >= LEAST_WORDS ? `, ${words(lacking)}` : ", a paragraph"];
  say($("write-label"), label);
  say($("write-words"), much);
  button.disabled = job ? Boolean(job.stopping) : asked || engine?.state !== "ready";

  say($("meter-words"), `${number(count)} of ${number(section.target_words)}`);
  const shown = meter?.section_id === section.id ? meter : null;
  say($("meter-speed"), speeds(shown));
  say($("meter-nfe"), shown?.tokens ? shown.nfe_per_token.toFixed(2) : "");
  say($("meter-left-name"), here ? "Time left" : "Time");
  say($("meter-left"), here ? (shown?.seconds_left == null ? "…" : duration(shown.seconds_left)) : shown?.seconds ? duration(shown.seconds) : "");
  drawEngine();
}

function speeds(meter) {
  if (!meter?.tokens) return "";
  const first = meter.first_block_tokens_per_second ? `${meter.first_block_tokens_per_second.toFixed(1)} first` : "";
  const steady = meter.tokens_per_second ? meter.tokens_per_second.toFixed(1) : "";
  return steady && first ? `${steady}, ${first}` : steady || first;
}

function drawEngine() {
  const { engine } = desk;
  if (!engine) return;
  const busy = desk.jobs.length > 0;
  $("engine").dataset.state = busy ? "writing" : engine.state;
  const line = engineLine();
  say($("engine-line"), line);
  $("engine-line").title = line; // where there is no room for all of it
  const fetching = engine.state === "preparing" && !busy;
  show($("engine-bar"), fetching);
  if (fetching && engine.total) $("engine-bar").value = engine.done / engine.total;
  else $("engine-bar").removeAttribute("value");
  show($("engine-retry"), engine.state === "failed");
}

function engineLine() {
  const { engine, section, ended, jobs } = desk;
  const job = revisingHere() ?? writingJob(section?.id) ?? jobs[0];
  if (job) return jobLine(job);
  if (ended && ended.section_id === section?.id && ended.sentence) return ended.sentence;
  return engine.sentence;
}

function jobLine(job) {
  if (job.state === "queued") return `Waiting, ${ordinal(job.position)} in line.`;
  if (job.section_id !== desk.section?.id) {
    const more = desk.jobs.length - 1;
    const waiting = more ? ` ${more} more ${more === 1 ? "waits" : "wait"}.` : "";
    return `“${job.section_title || "The untitled section"}” is being written.${waiting}`;
  }
  if (job.waiting) return desk.engine.sentence;
  if (job.reading) return `The model is reading: ${number(job.reading.done)} of ${number(job.reading.total)} tokens.`;
  if (!isWriting(job)) return `${REVISING[job.kind] ?? "Writing the passage anew."}${share(job)}`;
  return "Writing; every block that locks in is saved."; // what is left out stands above it
}

function share({ tried }) {
  return tried?.total ? ` ${Math.round((100 * tried.done) / tried.total)} %` : "";
}

const REVISING = {
  reroll: "Writing the block again, in a few ways.",
  fix: "Looking for better words for the weak ones.",
  rewrite: "Rewriting the passage, in a few ways.",
  pins: "Rewriting around the words you keep.",
  seam: "Smoothing the seam, in a few ways.",
  infill: "Writing what is missing here, in a few ways.",
  alternatives: "Looking for other words.",
};

function onWriting() {
  draw();
  predictSoon();
}

export const canWrite = () => sheet.keeper && !asked && !writingJob(desk.section.id) && desk.engine?.state === "ready";

command({
  id: "stop",
  title: "Stop writing; every locked block stays",
  group: "Writing",
  keys: "Escape",
  last: true,
  when: () => Boolean(stoppable()),
  run: () => stop(),
});
command({ id: "write", title: "Write, or go on writing, the open section", group: "Writing", keys: "Mod+Enter", when: canWrite, run: write });
command({
  id: "write-all",
  title: () => (desk.jobs.length > 1 ? "Write all sections that are still to be written" : "Write all sections"),
  group: "Writing",
  when: () => Boolean(desk.outline) && desk.engine?.state === "ready",
  run: writeAll,
});
command({ id: "stop-all", title: "Stop all writing", group: "Writing", when: () => desk.jobs.length > (stoppable() ? 1 : 0), run: stopAll });
command({ id: "retry", title: "Try again to get the model ready", group: "Writing", when: () => desk.engine?.state === "failed", run: retry });
command({ id: "settings", title: "Fine settings of the dial", group: "Writing", when: () => Boolean(desk.section), run: () => dial.unfold() });
commandSource(() => (desk.section ? dial.choices : []));
$("write").addEventListener("click", () => {
  const job = writingJob(desk.section.id);
  if (job) stop(job);
  else write();
});
on("lists", () => show($("dock"), Boolean(desk.section)));
on("model", (model) => {
  dial.begin(model);
  followDial();
});
on("lists", followDial);
on("section", onWriting);
on("writing", onWriting);
on("adopted", draw);
on("counted", draw);
on("facts", predictSoon);
on("view", predictSoon);
on("lists", () => desk.view === "outline" && predictSoon());

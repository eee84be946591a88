// The end of the text while it is being written: the live block, the glow and the word for each block that locks in, and
// a view that follows until the writer scrolls away.

import { speak } from "./dialogs.js";
import { $ } from "./dom.js";
import { Island } from "./island.js";
import { glow } from "./marks.js";
import { quiet } from "./side.js";
import { sheet } from "./sheet.js";
import { desk, on, writingHere } from "./state.js";


let island = null;
let following = true;

export function follow() {
  following = true;
}

function drawStep(step) {
  const job = writingHere();
  if (!island || !job) return;
  if (step) island.draw(step.slots, { quiet: quiet() });
  else if (!island.open) mask(job);
  island.place();
  if (step) followTail();
}

/** The next block is on its way. */
function mask(job) {
  island.mask(job.dial?.block_size ?? 8);
}

function onJob() {
  const job = writingHere();
  if (!job || job.waiting) island?.clear();
  if (!job) return;
  drawStep(job.step ?? null);
  followTail();
}

function appended({ range, text, event }) {
  const job = writingHere();
  if (job) mask(job);
  island.place();
  if (event) {
    if (!quiet()) glow(range);
    speak(text.trim()); // one message for each locked block
  }
  followTail();
}

/** Keeps the end of the text in sight, until the writer scrolls away or types. */
function followTail() {
  if (!following || desk.view !== "edit" || !island) return;
  const scroll = $("scroll");
  const tail = (island.open ? $("island") : sheet.editor.root).getBoundingClientRect().bottom + 40;
  const edge = scroll.getBoundingClientRect().bottom;
  if (tail > edge) {
    scroll.scrollTop += tail - edge;
    scroll.dataset.top = String(scroll.scrollTop);
  }
}

function noticeScroll() {
  const scroll = $("scroll");
  const before = Number(scroll.dataset.top ?? 0);
  const now = scroll.scrollTop;
  scroll.dataset.top = String(now);
  $("main").classList.toggle("scrolled", now > 0);
  if (!writingHere()) return;
  if (now < before - 2) following = false;
  else if (now > before && scroll.scrollHeight - scroll.clientHeight - now < 60) following = true;
}

function onSection() {
  island?.clear();
  island = sheet.editor && new Island($("island"), sheet.editor);
  following = true;
  onJob();
}

function onTyped() {
  if (!writingHere()) return;
  following = false;
  requestAnimationFrame(() => island?.place());
}

$("scroll").addEventListener("scroll", noticeScroll, { passive: true });
on("section", onSection);
on("adopted", () => island?.place());
on("typed", onTyped);
on("previewed", () => island?.place());
on("appended", appended);
on("step", (step) => step && drawStep(step));
on("job", onJob);
on("quiet", onJob);
on("view", () => desk.view === "edit" && island?.place());

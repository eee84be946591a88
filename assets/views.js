// How the document is shown: a section to be edited, all of them as an outline, or text to be read.

import { attempt } from "./asking.js";
import { command } from "./commands.js";
import { $, el, show } from "./dom.js";
import { sheet } from "./sheet.js";
import { desk, on, tell } from "./state.js";
import { later, takeLatest } from "./timing.js";

const VIEWS = ["edit", "outline", "read"];

let readAll = false;

const tops = new Map(); // how far each view is scrolled

export function setView(view) {
  if (desk.view === view) return;
  const scroll = $("scroll");
  tops.set(desk.view, scroll.scrollTop);
  desk.view = view;
  tell("view");
  tell("lists");
  scroll.scrollTop = tops.get(view) ?? 0;
}

function draw() {
  for (const view of VIEWS) $(`view-${view}`).setAttribute("aria-pressed", String(desk.view === view));
  $("main").dataset.view = desk.view;
  show($("edit"), desk.view !== "read");
  show($("read"), desk.view === "read");
}

const toRead = takeLatest(async () => {
  await sheet.keeper?.flush();
  return attempt("read", readAll ? { document_id: desk.outline?.id } : { section_id: desk.section?.id });
});

async function read() {
  if (desk.view !== "read" || !desk.section) return;
  const answer = await toRead();
  if (!answer) return;
  // Made by app/render.py, which lets no HTML of writer or model through; scripts would not run either way.
  const parsed = new DOMParser().parseFromString(answer.html, "text/html");
  $("reading").replaceChildren(...parsed.body.childNodes);
  if (!$("reading").childNodes.length) $("reading").append(el("p", { class: "faint" }, "Nothing has been written yet."));
}

function setReadAll(all) {
  readAll = all;
  $("read-section").setAttribute("aria-pressed", String(!all));
  $("read-document").setAttribute("aria-pressed", String(all));
  read();
}

command({ id: "view-edit", title: "Edit", group: "View", when: () => desk.outline && desk.view !== "edit", run: () => setView("edit") });
command({ id: "view-read", title: "Read", group: "View", when: () => desk.section && desk.view !== "read", run: () => setView("read") });
command({
  id: "view-other",
  title: "Read, or edit again",
  group: "View",
  keys: "Mod+Shift+E",
  listed: false,
  when: () => Boolean(desk.section),
  run: () => setView(desk.view === "read" ? "edit" : "read"),
});
$("read-section").addEventListener("click", () => setReadAll(false));
$("read-document").addEventListener("click", () => setReadAll(true));
on("lists", () => show($("views"), Boolean(desk.outline)));
on("view", draw);
on("view", read);
on("section", () => {
  tops.clear();
  read();
});
on("appended", later(read, 300));

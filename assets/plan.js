// The outline as a view of its own: every section as a card, to be planned, renamed and put in order in place.

import { command } from "./commands.js";
import { $, el, grow, say, show } from "./dom.js";
import { drawKeyed } from "./keyed.js";
import { changeLine, lineUnsaved } from "./lines.js";
import { drawStatus, jobClass, jobState, moreButton, sectionName, statusButton, sum } from "./lists.js";
import { addLastSection, cycleStatus, moveSection, openInEditor, sectionMenu } from "./outline.js";
import { readTarget } from "./sheet.js";
import { sortable } from "./sortable.js";
import { desk, on, writingJob } from "./state.js";
import { drawTones, toneButtons } from "./tones.js";
import { setView } from "./views.js";
import { number } from "./words.js";

function make({ id }) {
  const field = (tag, name, given) =>
    el(tag, { class: `plan-${name}`, ...given, oninput: (event) => changeLine(id, { [name]: event.target.value }) });
  const title = field("input", "title", { type: "text", maxLength: 500, autocomplete: "off", placeholder: "Untitled section" });
  const brief = field("textarea", "brief", { rows: 1, placeholder: "What should this section say?" });
  const style = field("textarea", "style", { rows: 1, placeholder: "Style: that of the document" });
  const tones = toneButtons(style, "", (text) => {
    changeLine(id, { style: text });
    grow(style);
  });
  const target = el("input", { class: "plan-target", type: "number", min: 1, max: 5000, step: 10, inputMode: "numeric" });
  target.addEventListener("change", () => {
    const words = readTarget(target);
    if (words !== null) changeLine(id, { target_words: words });
  });
  for (const area of [brief, style]) area.addEventListener("input", () => grow(area));
  title.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || event.ctrlKey || event.metaKey) return;
    brief.focus();
    event.preventDefault();
  });
  return el(
    "li",
    { class: "plan-card" },
    el("button", { type: "button", class: "handle", title: "Drag to another place, or press Alt and an arrow key" }, "⠿"),
    el("div", { class: "plan-main" }, title, brief, el("div", { class: "plan-styling" }, style, tones)),
    el(
      "div",
      { class: "plan-facts" },
      statusButton(() => cycleStatus(id)),
      el("span", { class: "plan-state" }),
      el("span", { class: "plan-words" }),
      target,
      el("button", { type: "button", class: "quiet-button plan-open", onclick: () => openInEditor(id) }, "Open"),
      moreButton((button) => sectionMenu(id, button)),
    ),
  );
}

function update(card, section, index) {
  const find = (name) => card.querySelector(name);
  const called = sectionName(section);
  const newer = lineUnsaved(section.id);
  const put = (node, value) => {
    if (node.value !== value && !(newer && node === document.activeElement)) node.value = value;
  };
  const job = writingJob(section.id);
  for (const name of ["writing", "waiting"]) card.classList.toggle(name, jobClass(job) === name);
  say(find(".plan-state"), jobState(job));
  card.classList.toggle("current", section.id === desk.section?.id);
  put(find(".plan-title"), section.title);
  put(find(".plan-brief"), section.brief);
  put(find(".plan-style"), section.style);
  drawTones(find(".tones"), section.style);
  if (document.activeElement !== find(".plan-target")) put(find(".plan-target"), String(section.target_words));
  show(find(".plan-brief"), desk.model?.instructs !== false || section.brief !== "");
  show(find(".plan-styling"), desk.model?.instructs !== false || section.style !== "");
  say(find(".plan-words"), `${number(section.words)} of`);
  drawStatus(find(".status"), section);
  const labels = {
    ".handle": `Move “${called}”, section ${index + 1} of ${desk.outline.sections.length}`,
    ".plan-title": `Title of section ${index + 1}`,
    ".plan-brief": `Brief of “${called}”`,
    ".plan-style": `Style of “${called}”`,
    ".tones": `Tone of “${called}”`,
    ".plan-target": `Length of “${called}” in words`,
    ".plan-open": `Open “${called}”`,
    ".more": `More for “${called}”`,
  };
  for (const [name, label] of Object.entries(labels)) {
    const node = find(name);
    if (node.getAttribute("aria-label") !== label) node.setAttribute("aria-label", label);
  }
}

function draw() {
  const visible = desk.view === "outline" && Boolean(desk.outline?.sections.length);
  show($("plan"), visible);
  if (!visible) return;
  const before = $("plan-cards").childElementCount;
  drawKeyed($("plan-cards"), desk.outline.sections, { make, update });
  const { sections } = desk.outline;
  const several = desk.jobs.length > 1;
  $("write-all").dataset.command = several ? "stop-all" : "write-all";
  say($("write-all"), several ? "Stop all" : "Write all");
  $("write-all").disabled = desk.engine?.state !== "ready";
  say($("plan-sum"), `${number(sections.length)} ${sections.length === 1 ? "section" : "sections"}, ${sum(desk.outline)}`);
  if ($("plan-cards").childElementCount !== before) growAll();
}

function growAll() {
  grow(...$("plan-cards").querySelectorAll("textarea"));
}

async function addHere() {
  await addLastSection();
  $("plan-cards").lastElementChild?.querySelector(".plan-title").focus();
}

command({ id: "view-outline", title: "Outline", group: "View", when: () => desk.outline && desk.view !== "outline", run: () => setView("outline") });
command({ id: "plan-add", title: "Add a section at the end", group: "Section", listed: false, run: addHere });
sortable($("plan-cards"), {
  handle: ".handle",
  touch: true,
  scroller: $("scroll"),
  move: (id, position) => moveSection(id, { to: position }),
});
on("lists", draw);
on("engine", draw);
on("view", () => {
  draw();
  growAll();
});
addEventListener("resize", growAll);

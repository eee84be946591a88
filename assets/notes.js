// Beside the text: the style sheets that the model reads, and notes for the writer alone.

import { command } from "./commands.js";
import { el, grow } from "./dom.js";
import { changeDocument } from "./documents.js";
import { changeLine } from "./lines.js";
import { openPanel, panelTab, redraw } from "./panel.js";
import { sheet } from "./sheet.js";
import { desk, on } from "./state.js";
import { TONES, drawTones, hasTone, toggleTone, toneButtons } from "./tones.js";

const changeStyle = (style) => changeLine(desk.section.id, { style });

/** tones: the name of the row of them under a field. */
const FIELDS = [
  {
    id: "style-sheet",
    label: "Style sheet of this document",
    about: "Tone, names, facts. The model reads it with every section.",
    placeholder: "Plain and dry. Present tense.\nMarten: the ferryman, sixty, left-handed.",
    tones: "Tone of this document",
    has: () => desk.outline !== null,
    value: () => desk.outline.style ?? "",
    save: (text) => changeDocument({ style: text }),
  },
  {
    id: "section-style",
    label: "Style of this section",
    about: "For this section alone; the model reads it after the style sheet, so this has the last word.",
    placeholder: "Past tense, for once: Marten remembers.",
    tones: "Tone of this section",
    has: () => desk.section !== null,
    value: () => desk.section.style ?? "",
    save: changeStyle,
  },
  {
    id: "document-notes",
    label: "Notes on this document",
    about: "For you alone.",
    placeholder: "Sources, doubts, things to check.",
    has: () => desk.outline !== null,
    value: () => desk.outline.notes ?? "",
    save: (text) => changeDocument({ notes: text }),
  },
  {
    id: "section-notes",
    label: "Notes on this section",
    about: "For you alone.",
    placeholder: "What it still needs.",
    has: () => desk.section !== null,
    value: () => desk.section.notes ?? "",
    save(text) {
      desk.section.notes = text;
      sheet.keeper.change({ notes: text });
    },
  },
];

function make(host) {
  host.replaceChildren(
    ...FIELDS.map(({ id, label, about, placeholder, tones, save }) => {
      const area = el("textarea", { id, class: "notes-area", rows: 4, placeholder, spellcheck: true, "aria-describedby": `${id}-about` });
      const change = (text) => {
        save(text);
        grow(area);
      };
      area.addEventListener("input", () => change(area.value));
      return el(
        "div",
        { class: "notes-field" },
        el("label", { htmlFor: id }, label),
        el("p", { id: `${id}-about`, class: "faint-note" }, about),
        area,
        tones ? toneButtons(area, tones, change) : null,
      );
    }),
  );
}

function draw(host) {
  if (!host.childElementCount) make(host);
  FIELDS.forEach(({ has, value, tones }, index) => {
    const field = host.children[index];
    const area = field.querySelector("textarea");
    field.hidden = !has();
    if (field.hidden) return;
    // What is typed is in the desk's state at once: where the two differ, the change was made elsewhere, or is another's.
    if (area.value !== value()) area.value = value();
    if (tones) drawTones(field.querySelector(".tones"), value());
  });
  grow(...host.querySelectorAll("textarea"));
}

const focus = (id) => () => document.getElementById(id)?.focus();
const opened = () => Boolean(desk.section);

panelTab("notes", { title: "Notes and style sheet", draw, focus: focus("style-sheet") });
command({ id: "to-style", title: "Style of this section", group: "Section", when: opened, run: () => openPanel("notes", { focus: focus("section-style") }) });
for (const name of Object.keys(TONES)) {
  command({
    id: `tone-${name.toLowerCase()}`,
    title: () => `Tone of this section: ${hasTone(desk.section.style, name) ? "no longer " : ""}${name.toLowerCase()}`,
    group: "Section",
    when: opened,
    run: () => changeStyle(toggleTone(desk.section.style, name)),
  });
}
on("lists", () => redraw("notes"));
on("section", () => redraw("notes"));

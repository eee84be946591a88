// Beside the text: the style sheet that the model reads, and notes for the writer alone.

import { el, grow } from "./dom.js";
import { changeDocument } from "./documents.js";
import { panelTab, redraw } from "./panel.js";
import { sheet } from "./sheet.js";
import { desk, on } from "./state.js";

const FIELDS = [
  {
    id: "style-sheet",
    label: "Style sheet of this document",
    about: "Tone, names, facts. The model reads it with every section.",
    placeholder: "Plain and dry. Present tense.\nMarten: the ferryman, sixty, left-handed.",
    has: () => desk.outline !== null,
    value: () => desk.outline.style ?? "",
    save: (text) => changeDocument({ style: text }),
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
    ...FIELDS.map(({ id, label, about, placeholder, save }) => {
      const area = el("textarea", { id, class: "notes-area", rows: 4, placeholder, spellcheck: true, "aria-describedby": `${id}-about` });
      area.addEventListener("input", () => {
        save(area.value);
        grow(area);
      });
      return el("div", { class: "notes-field" }, el("label", { htmlFor: id }, label), el("p", { id: `${id}-about`, class: "faint-note" }, about), area);
    }),
  );
}

function draw(host) {
  if (!host.childElementCount) make(host);
  FIELDS.forEach(({ has, value }, index) => {
    const field = host.children[index];
    const area = field.querySelector("textarea");
    field.hidden = !has();
    if (has() && area !== document.activeElement && area.value !== value()) area.value = value();
  });
  grow(...host.querySelectorAll("textarea"));
}

panelTab("notes", { title: "Notes and style sheet", draw, focus: () => document.getElementById("style-sheet")?.focus() });
on("lists", () => redraw("notes"));
on("section", () => redraw("notes"));

// Presets of a tone: each is a sentence for a style field, put in and taken out by a button under it.

import { el } from "./dom.js";

export const TONES = {
  Plain: "Use everyday words and short sentences.",
  Warm: "Write warmly, as to a friend.",
  Formal: "Write formally and keep a polite distance.",
  Vivid: "Show what can be seen, heard and smelled.",
  Dry: "Be brief and matter-of-fact, with dry humour.",
};

const isTone = (line, name) => line.trim() === TONES[name];

/** Whether the sentence of a tone stands in a style, as a line of its own. */
export const hasTone = (style, name) => style.split("\n").some((line) => isTone(line, name));

/** The style with the sentence of a tone on a first line of its own, or without it where it stands in it. */
export function toggleTone(style, name) {
  if (!hasTone(style, name)) return [TONES[name], style].filter(Boolean).join("\n");
  return style.split("\n").filter((line) => !isTone(line, name)).join("\n");
}

/** A button for each tone, about what stands in `area`; change(style): called when one was pressed. */
export function toneButtons(area, label, change) {
  return el(
    "div",
    { class: "tones", role: "group", "aria-label": label },
    ...Object.entries(TONES).map(([name, sentence]) =>
      el(
        "button",
        {
          type: "button",
          class: "quiet-button",
          title: sentence,
          "aria-pressed": "false",
          "data-tone": name,
          onmousedown: (event) => event.preventDefault(), // the cursor stays where it is
          onclick: () => {
            area.value = toggleTone(area.value, name);
            change(area.value);
          },
        },
        name,
      ),
    ),
  );
}

/** Shows which tones stand in a style. */
export function drawTones(group, style) {
  for (const button of group.children) {
    const pressed = String(hasTone(style, button.dataset.tone));
    if (button.getAttribute("aria-pressed") !== pressed) button.setAttribute("aria-pressed", pressed);
  }
}

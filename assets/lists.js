// The list of documents and the outline of the open one. Draws what it is given and tells what was asked for.

import { $, el, say, show } from "./dom.js";
import { number, words } from "./words.js";

const STATUS = { planned: ["○", "planned"], draft: ["◐", "draft"], done: ["●", "done"] };

/** Rebuilds a list and puts the focus back on what had it. */
function redraw(list, items) {
  const key = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const scroll = list.scrollTop;
  list.replaceChildren(...items);
  list.scrollTop = scroll;
  if (key) list.querySelector(`[data-key="${key}"]`)?.focus({ preventScroll: true });
}

export function drawDocuments(cards, openId, { open, remove }) {
  redraw(
    $("documents"),
    cards.map((card) => {
      const current = card.id === openId;
      const main = el(
        "button",
        { type: "button", class: "card", "aria-current": current ? "true" : null, onclick: () => open(card.id) },
        el("span", { class: "name" }, card.title || "Untitled document"),
        el("span", { class: "count" }, number(card.words)),
        el("span", { class: "hidden" }, card.words === 1 ? " word" : " words"),
      );
      main.dataset.key = `document-${card.id}`;
      return el("li", { class: current ? "current" : "" }, main, current ? tool("✕", `Delete the document “${card.title || "Untitled document"}”`, remove, "delete-document") : null);
    }),
  );
}

export function drawOutline(outline, openId, writingId, { open, move, remove }) {
  show($("outline-group"), Boolean(outline));
  if (!outline) return;
  const last = outline.sections.length - 1;
  redraw(
    $("outline"),
    outline.sections.map((section, index) => {
      const current = section.id === openId;
      const name = section.title || "Untitled section";
      const [glyph, status] = STATUS[section.status];
      const part = Math.min(1, section.words / section.target_words);
      const filled = el("span", { class: "filled", "aria-hidden": "true" });
      filled.style.setProperty("--part", part.toFixed(3));
      const main = el(
        "button",
        {
          type: "button",
          class: "row",
          "aria-current": current ? "true" : null,
          onclick: () => open(section.id),
          onkeydown: (event) => {
            if (event.altKey && event.key === "ArrowUp" && index > 0) move(section, index - 1);
            else if (event.altKey && event.key === "ArrowDown" && index < last) move(section, index + 1);
            else if (event.key === "Delete") remove(section);
            else if (!event.altKey && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
              const rows = [...$("outline").querySelectorAll(".row")];
              rows[index + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
            } else return;
            event.preventDefault();
          },
        },
        el("span", { class: `status ${section.status}`, "aria-hidden": "true" }, glyph),
        el("span", { class: "name" }, name),
        el("span", { class: "count" }, `${number(section.words)}/${number(section.target_words)}`),
        el("span", { class: "hidden" }, ` words, ${section.id === writingId ? "being written" : status}`),
        filled,
      );
      main.dataset.key = `section-${section.id}`;
      const item = el("li", { class: [current && "current", section.id === writingId && "writing"].filter(Boolean).join(" ") }, main);
      if (current) {
        const tools = el("span", { class: "tools" });
        if (index > 0) tools.append(tool("↑", `Move “${name}” up`, () => move(section, index - 1), "up"));
        if (index < last) tools.append(tool("↓", `Move “${name}” down`, () => move(section, index + 1), "down"));
        tools.append(tool("✕", `Delete the section “${name}”`, () => remove(section), "delete-section"));
        item.append(tools);
      }
      return item;
    }),
  );
  const sum = outline.sections.reduce((all, section) => all + section.words, 0);
  const target = outline.sections.reduce((all, section) => all + section.target_words, 0);
  say($("outline-sum"), outline.sections.length ? `${number(sum)} of ${words(target)}` : "No sections yet.");
}

function tool(sign, name, action, key) {
  const made = el("button", { type: "button", class: "tool", title: name, "aria-label": name, onclick: action }, sign);
  made.dataset.key = key;
  return made;
}

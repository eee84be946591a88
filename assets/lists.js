// The list of documents and the outline of the open one. Draws what it is given and tells what was asked for.

import { $, el, say } from "./dom.js";
import { drawKeyed, keyOf } from "./keyed.js";
import { STATUSES, nextStatus } from "./statuses.js";
import { number, ordinal, words } from "./words.js";

export const documentName = (card) => card.title || "Untitled document";
export const sectionName = (section) => section.title || "Untitled section";

function setCurrent(node, current) {
  if (current) node.setAttribute("aria-current", "true");
  else node.removeAttribute("aria-current");
}

/** menu(id, button): asks for what can be done with a document. */
export function drawDocuments(cards, openId, { open, menu }) {
  drawKeyed($("documents"), cards, {
    make: ({ id }) =>
      el(
        "li",
        {},
        el(
          "button",
          { type: "button", class: "card", onclick: () => open(id) },
          el("span", { class: "name" }),
          el("span", { class: "count" }),
          el("span", { class: "hidden" }),
        ),
        moreButton((button) => menu(id, button)),
      ),
    update(line, card) {
      const [main, more] = line.children;
      const [name, count, unit] = main.children;
      setCurrent(main, card.id === openId);
      say(name, documentName(card));
      say(count, number(card.words));
      say(unit, card.words === 1 ? " word" : " words");
      more.setAttribute("aria-label", `More for the document “${documentName(card)}”`);
    },
  });
}

/** jobOf(id): what is done to a section, or null. cycle(id): the next status is asked for. menu(id, button): what can be
 * done with a section. */
export function drawOutline(outline, openId, { jobOf, open, cycle, menu }) {
  drawKeyed($("outline"), outline.sections, {
    make: ({ id }) =>
      el(
        "li",
        {},
        statusButton(() => cycle(id)),
        el(
          "button",
          { type: "button", class: "row", onclick: () => open(id) },
          el("span", { class: "name" }),
          el("span", { class: "count" }),
          el("span", { class: "hidden" }),
          el("span", { class: "filled", "aria-hidden": "true" }),
        ),
        moreButton((button) => menu(id, button)),
      ),
    update(line, section) {
      const [status, main, more] = line.children;
      const [name, count, about, filled] = main.children;
      const called = sectionName(section);
      const job = jobOf(section.id);
      line.className = jobClass(job);
      drawStatus(status, section);
      setCurrent(main, section.id === openId);
      say(name, called);
      say(count, `${number(section.words)}/${number(section.target_words)}`);
      say(about, ` words, ${jobState(job) || section.status}`);
      filled.style.setProperty("--part", Math.min(1, section.words / section.target_words).toFixed(3));
      more.setAttribute("aria-label", `More for the section “${called}”`);
    },
  });
  say($("outline-sum"), sum(outline));
}

/** How a section looks to which something is done. */
export const jobClass = (job) => (job ? { running: "writing", queued: "waiting" }[job.state] : "");

/** What is done to a section, in words; empty where there is nothing. */
export function jobState(job) {
  if (!job) return "";
  return job.state === "running" ? "being written" : `waiting, ${ordinal(job.position)} in line`;
}

/** 3,400 of 12,000 words. */
export function sum(outline) {
  const count = (name) => outline.sections.reduce((all, section) => all + section[name], 0);
  return outline.sections.length ? `${number(count("words"))} of ${words(count("target_words"))}` : "No sections yet.";
}

export function statusButton(cycle) {
  return el("button", { type: "button", class: "status", onclick: cycle });
}

export function drawStatus(button, section) {
  const name = STATUSES[section.status];
  button.dataset.status = section.status;
  const next = STATUSES[nextStatus(section.status)].toLowerCase();
  const label = `Status of “${sectionName(section)}”: ${name.toLowerCase()}`;
  if (button.getAttribute("aria-label") === label) return;
  button.setAttribute("aria-label", label);
  button.title = `${name}; click for ${next}`;
}

/** The button of a line's menu. */
export function moreButton(action) {
  const button = el("button", { type: "button", class: "tool more", "aria-haspopup": "menu", "aria-expanded": "false" }, "⋯");
  button.addEventListener("click", () => action(button));
  return button;
}

/** The main buttons of a list's lines, as the arrow keys go through them: from the one that has the focus. */
export function stepThrough(list, step) {
  const rows = [...$(list).children].map((line) => line.querySelector(".row, .card"));
  const at = rows.findIndex((row) => keyOf(row) === keyOf(document.activeElement));
  rows[at + step]?.focus();
}

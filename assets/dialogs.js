// Questions to the writer, and short notes. Knows nothing of documents.

import { $, el, keepPlace, say, show } from "./dom.js";

/** Resolves to the value of the chosen button, or to `dismissed` where the dialog was closed; `must`: it cannot be. */
function ask(title, body, buttons, { dismissed = null, must = false, wide = false } = {}) {
  return new Promise((resolve) => {
    const bringBack = keepPlace();
    const dialog = el(
      "dialog",
      { class: wide ? "wide" : "", "aria-labelledby": "dialog-title" },
      el("h2", { id: "dialog-title" }, title),
      ...body,
      el(
        "div",
        { class: "dialog-buttons" },
        ...buttons.map(([value, label, kind]) =>
          el(
            "button",
            { type: "button", class: kind ?? "", onclick: () => finish(value) },
            label,
          ),
        ),
      ),
    );
    let done = false;
    const finish = (value) => {
      done = true;
      dialog.close();
      dialog.remove();
      bringBack();
      resolve(value);
    };
    dialog.addEventListener("cancel", (event) => must && event.preventDefault());
    dialog.addEventListener("close", () => {
      if (done) return;
      if (must) dialog.showModal(); // a browser lets the second Esc through in any case
      else finish(dismissed);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

export function confirm(title, sentence, action, otherwise = "Keep it") {
  return ask(title, [el("p", {}, sentence)], [
    [false, otherwise, ""],
    [true, action, "primary"],
  ], { dismissed: false });
}

/** Both texts side by side. Closing it is no answer: one of the three has to be chosen. */
export function chooseText(mine, theirs, title = "This section was changed elsewhere") {
  const side = (name, text) =>
    el(
      "section",
      { class: "side-by-side" },
      el("h3", {}, name),
      el("div", { class: "version", tabIndex: 0, role: "region", "aria-label": name }, text || "(nothing)"),
    );
  return ask(
    title,
    [
      el("p", {}, "Another tab or window saved it since it was opened here. Nothing is lost: choose what to keep."),
      el("div", { class: "versions" }, side("Mine, in this tab", mine), side("Theirs, saved by the other", theirs)),
    ],
    [
      ["theirs", "Keep theirs", ""],
      ["both", "Keep both", ""],
      ["mine", "Keep mine", "primary"],
    ],
    { must: true, wide: true },
  );
}

/** Something to be read, until it is closed. */
export function tellWriter(title, body, { wide = false } = {}) {
  return ask(title, body, [[null, "Close", "primary"]], { wide });
}

const SPOKEN = 3; // messages that stay in the log

/** One polite message for who listens to the page; old ones go. */
export function speak(text) {
  const log = $("spoken");
  log.append(el("p", {}, text));
  while (log.childElementCount > SPOKEN) log.firstElementChild.remove();
}

let noteTimer = 0;
let noteAbout = "";

/** A sentence that stays for a while, or until `unnote` says that what it is about is settled. */
export function note(sentence, about = "") {
  const place = $("note");
  noteAbout = about;
  say(place, sentence);
  show(place, true);
  clearTimeout(noteTimer);
  noteTimer = setTimeout(() => show(place, false), 4000 + 60 * sentence.length);
}

export function unnote(about) {
  if (noteAbout === about) show($("note"), false);
}

// The desk: joins its parts. Text of the writer and of the model only ever becomes text nodes in any of them; the one
// exception is the reading view, whose HTML the server made safe.

import "./blocks.js";
import "./context.js";
import "./files.js";
import "./find.js";
import "./history.js";
import "./keys.js";
import "./lab-door.js";
import "./models.js";
import "./notes.js";
import "./palette.js";
import "./passage.js";
import "./plan.js";
import "./takes.js";
import { ariaKeys, keyName, keysOf, onKey, runCommand } from "./commands.js";
import { $ } from "./dom.js";
import { begin } from "./events.js";
import { focusOpening } from "./sheet.js";

/** A button that says in the page what it does, does it, and tells its keys. */
function bind(button) {
  const keys = keysOf(button.dataset.command);
  button.addEventListener("click", () => runCommand(button.dataset.command));
  if (!keys.length) return;
  button.setAttribute("aria-keyshortcuts", ariaKeys(keys));
  button.title ||= `${button.getAttribute("aria-label") ?? button.textContent.trim()} (${keyName(keys[0])})`;
}

function enterLeadsTo(id, focusNext) {
  $(id).addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey || event.isComposing) return;
    focusNext();
    event.preventDefault();
  });
}

enterLeadsTo("document-title", () => $("section-title").focus());
enterLeadsTo("section-title", focusOpening);
document.querySelectorAll("[data-command]").forEach(bind);
document.addEventListener("keydown", (event) => document.querySelector("dialog[open]") || onKey(event));
begin();

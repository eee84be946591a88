// Undo, redo and whatever else the server does to the open section's text. The browser's own undo knows neither blocks nor
// what was before a reload, so in the text it is not asked.

import { Refusal } from "./api.js";
import { attempt, sayRefusal } from "./asking.js";
import { command } from "./commands.js";
import { speak } from "./dialogs.js";
import { $ } from "./dom.js";
import { drawSaved, sheet } from "./sheet.js";
import { desk, once, writingHere } from "./state.js";

/** Asks for a change of the text: its answer, or null where it was refused, and the writer told why. */
export async function takeStep(verb, given = {}) {
  const { keeper } = sheet;
  if (!keeper) return null;
  try {
    return await onFreshText(keeper, verb, given);
  } catch (error) {
    if (error instanceof Refusal && error.kind === "InvalidValue") {
      drawSaved("saved", error.message);
      speak(error.message);
    } else sayRefusal(error, verb);
    return null;
  }
}

async function onFreshText(keeper, verb, given) {
  try {
    return await keeper.step(verb, given);
  } catch (error) {
    if (!(error instanceof Refusal && error.kind === "StaleRevision")) throw error;
    await keeper.catchUp();
    return keeper.step(verb, given);
  }
}

/** A step to another version, as against a change of this one. What is being written would go on behind a gap: it stops. */
export async function goStep(verb, given = {}) {
  const job = writingHere();
  if (job) {
    attempt("stop", { job: job.job });
    while (writingHere()?.job === job.job) await once("job");
  }
  return takeStep(verb, given);
}

const undo = () => goStep("undo");
const redo = () => goStep("redo");
const opened = () => Boolean(sheet.keeper) && desk.view === "edit";

command({ id: "undo", title: "Undo", group: "Text", keys: "Mod+Z", fields: false, when: opened, run: undo });
command({ id: "redo", title: "Redo", group: "Text", keys: ["Mod+Shift+Z", "Mod+Y"], fields: false, when: opened, run: redo });
$("edit").addEventListener("beforeinput", (event) => {
  if (event.inputType !== "historyUndo" && event.inputType !== "historyRedo") return;
  event.preventDefault(); // of the browser's own menu
  if (event.inputType === "historyUndo") undo();
  else redo();
});

// The models that Galley can be started with: what each takes, what of it is on the disk, and how to start with it.

import { attempt } from "./asking.js";
import { command } from "./commands.js";
import { tellWriter } from "./dialogs.js";
import { el, say, show } from "./dom.js";
import { desk, on } from "./state.js";
import { bytes } from "./words.js";

const LYING = {
  whole: (there) => `on the disk, ${bytes(there)}`,
  partly: (there) => `partly on the disk, ${bytes(there)}`,
  nothing: () => "not on the disk",
};

let list = null; // while the dialog is open
let state = ""; // of the engine, when the list was made

async function showModels() {
  const answer = await attempt("models", {});
  if (!answer || list) return;
  list = el("ul", { class: "models", tabIndex: 0, "aria-label": "Models" });
  draw(answer.models);
  await tellWriter(
    "Models",
    [
      el("p", {}, "To change the model, end Galley and start it again with the command of the other; documents stay as they are."),
      list,
      el(
        "p",
        { class: "models-told" },
        "Options that you gave this time are to be given again. A model that is not on the disk is fetched at its first start, " +
          "once. A connection that breaks off is gone on with; if Galley is ended meanwhile, what was being fetched begins anew. " +
          "Files that were fetched are checked against their checksums at every start.",
      ),
    ],
    { wide: true },
  );
  list = null;
}

function draw(models) {
  state = desk.engine?.state;
  list.replaceChildren(...models.map(item));
  drawProgress();
}

function item(model) {
  const { licence, fetches, memory, lying } = model;
  const facts = [
    licence ? `Licence: ${licence}` : "Licence: its owner knows",
    fetches && `download of ${bytes(fetches)}`,
    memory === null ? "memory not known" : `up to ${bytes(memory)} of memory`,
    LYING[lying.state](lying.bytes),
  ];
  return el(
    "li",
    model.in_use ? { "aria-current": "true" } : {},
    el("p", { class: "model-title" }, model.title, model.in_use ? el("span", { class: "model-here" }, "in use") : null),
    el("p", { class: "model-facts" }, `${facts.filter(Boolean).join(" · ")}.`),
    model.in_use
      ? el("p", { class: "model-engine" }, el("span", {}), el("progress", { max: 1, "aria-label": "Getting the model ready", hidden: true }))
      : el("code", {}, model.command),
  );
}

/** How far the model in use is on its way, as below the text. */
function drawProgress() {
  const [line, bar] = list.querySelector(".model-engine")?.children ?? [];
  if (!line || !desk.engine) return;
  const { engine } = desk;
  show(line, engine.state !== "ready");
  say(line, engine.sentence);
  show(bar, engine.state === "preparing");
  if (engine.state === "preparing" && engine.total) bar.value = engine.done / engine.total;
  else bar.removeAttribute("value");
}

async function onEngine() {
  if (!list) return;
  drawProgress();
  if (desk.engine.state === state) return;
  const answer = await attempt("models", {}); // more of it is on the disk, or less
  if (answer && list) draw(answer.models);
}

command({ id: "models", title: "Models: licences, sizes, and how to start with another", group: "Desk", run: showModels });
on("engine", onEngine);

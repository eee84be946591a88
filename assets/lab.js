// The lab: asks for what there is, shows it, and lets two systems write. Every name and every word that comes from a
// file or a network only ever becomes a text node; a plot is an image.

import "./palette.js";
import { command, onKey } from "./commands.js";
import { $, el, say, show } from "./dom.js";
import { live } from "./lab-live.js";
import { drawPlots, drawTable } from "./lab-table.js";

async function begin() {
  let found;
  try {
    const response = await fetch("/desk/lab");
    found = await response.json();
    if (!response.ok) throw new Error(found.sentence);
  } catch (error) {
    $("table-says").classList.add("bad");
    say($("table-says"), error instanceof TypeError ? "The desk is not running; start it and reload this page." : error.message);
    show($("live"), false);
    return;
  }
  drawResult(found);
  live(found);
}

function drawResult({ result, problem, command: make, own }) {
  const says = $("table-says");
  if (!result) {
    says.classList.toggle("bad", Boolean(problem));
    say(says, problem ?? "There is no result yet. This command trains every system and makes the table; it can be stopped and goes on where it was:");
    drawCommand(make);
    return;
  }
  say(says, told(result, own));
  drawCommand(result.command);
  drawTable($("table-place"), result);
  show($("table-place"), true);
  show($("table-read"), true);
  drawPlots($("plots-list"), result.plots);
  show($("plots"), result.plots.length > 0);
}

/** Breaks between words only: an option keeps its hyphens. */
function drawCommand(line) {
  const words = line.split(" ").flatMap((word) => [el("span", {}, word), " "]);
  $("table-command").firstElementChild.replaceChildren(...words.slice(0, -1));
  show($("table-command"), Boolean(line));
}

/** Where the numbers come from, in one sentence. */
function told({ title, machine, seconds }, own) {
  const parts = [title || "A run of the table", machine && `on ${machine}`, seconds !== null && `in ${long(seconds)}`];
  const origin = own ? "measured in the folder this desk was started with" : "the result that comes with Galley";
  return `${parts.filter(Boolean).join(", ")}; ${origin}.`;
}

function long(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

command({ id: "desk", title: "Back to the desk", group: "Lab", run: () => location.assign("/") });
document.addEventListener("keydown", (event) => document.querySelector("dialog[open]") || onKey(event));
begin();

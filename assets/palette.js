// The command palette: everything the desk can do, found by a few letters; what was used lately comes first.

import { command, keyName, possibleCommands } from "./commands.js";
import { el, keepPlace, memory } from "./dom.js";
import { fuzzy } from "./fuzzy.js";

const RECENT = 8;
const SHOWN = 60;

function recent() {
  try {
    const kept = JSON.parse(memory.get("recent") ?? "[]");
    return Array.isArray(kept) ? kept : [];
  } catch {
    return [];
  }
}

function remember(id) {
  memory.set("recent", JSON.stringify([id, ...recent().filter((each) => each !== id)].slice(0, RECENT)));
}

/** The commands that fit, best first, each with the places of the letters that were found. */
function found(commands, query) {
  const lately = recent();
  const age = (id) => (lately.includes(id) ? lately.indexOf(id) : RECENT);
  if (!query.trim()) {
    const plain = commands.filter((each) => !each.place);
    return plain.map((each) => ({ command: each, places: [] })).sort((a, b) => age(a.command.id) - age(b.command.id));
  }
  return commands
    .map((each) => ({ command: each, ...fuzzy(query, each.title) }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score || age(a.command.id) - age(b.command.id));
}

export function openPalette() {
  if (document.querySelector("dialog[open]")) return;
  const bringBack = keepPlace();
  const commands = possibleCommands();
  let hits = [];
  let at = 0;

  const list = el("ul", { id: "palette-list", class: "palette-list", role: "listbox", "aria-label": "Commands" });
  const none = el("p", { class: "palette-none", hidden: true }, "Nothing the desk can do is called that.");
  const input = el("input", {
    type: "text",
    role: "combobox",
    class: "palette-input",
    placeholder: "What shall the desk do?",
    autocomplete: "off",
    spellcheck: false,
    "aria-label": "Find a command",
    "aria-expanded": "true",
    "aria-controls": "palette-list",
    "aria-autocomplete": "list",
  });
  const dialog = el("dialog", { class: "palette", "aria-label": "Commands" }, input, list, none);

  const choose = (index) => {
    at = Math.max(0, Math.min(index, hits.length - 1));
    [...list.children].forEach((row, each) => row.setAttribute("aria-selected", String(each === at)));
    const row = list.children[at];
    if (row) {
      input.setAttribute("aria-activedescendant", row.id);
      row.scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  };
  const draw = () => {
    hits = found(commands, input.value).slice(0, SHOWN);
    list.replaceChildren(...hits.map((hit, index) => row(hit, index, () => finish(hit.command))));
    list.hidden = !hits.length;
    none.hidden = hits.length > 0;
    choose(0);
  };
  const end = () => {
    if (!dialog.isConnected) return;
    dialog.close();
    dialog.remove();
    bringBack();
  };
  const finish = (wanted) => {
    end(); // what is done next finds the writer where they were
    if (!wanted) return;
    remember(wanted.id);
    wanted.run();
  };

  input.addEventListener("input", draw);
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "ArrowDown") choose(at + 1 < hits.length ? at + 1 : 0);
    else if (event.key === "ArrowUp") choose(at > 0 ? at - 1 : hits.length - 1);
    else if (event.key === "PageDown") choose(at + 8);
    else if (event.key === "PageUp") choose(at - 8);
    else if (event.key === "Enter") finish(hits[at]?.command);
    else if (event.key === "Escape") end();
    else return;
    event.preventDefault();
  });
  dialog.addEventListener("pointerdown", (event) => event.target === dialog && end());
  dialog.addEventListener("close", end);
  document.body.append(dialog);
  draw();
  dialog.showModal();
}

function row({ command: { title, group, keys = [] }, places }, index, choose) {
  const letters = [...title];
  const name = el("span", { class: "palette-name" });
  let plain = "";
  letters.forEach((letter, place) => {
    if (!places.includes(place)) {
      plain += letter;
      return;
    }
    name.append(plain, el("mark", {}, letter));
    plain = "";
  });
  name.append(plain);
  return el(
    "li",
    { id: `palette-${index}`, role: "option", onclick: choose },
    name,
    el("span", { class: "palette-group" }, group),
    keys.length ? el("kbd", {}, keyName(keys[0])) : null,
  );
}

command({ id: "commands", title: "Commands", group: "Desk", keys: "Mod+K", listed: false, run: openPalette });

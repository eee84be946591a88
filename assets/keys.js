// The list of keys, made from the commands that have some.

import { command, commandsWithKeys, keyName } from "./commands.js";
import { tellWriter } from "./dialogs.js";
import { el } from "./dom.js";

function showKeys() {
  const body = [...grouped(commandsWithKeys())].map(([group, commands]) =>
    el(
      "section",
      {},
      el("h3", {}, group),
      el(
        "dl",
        { class: "keys" },
        ...commands.map(({ title, keys }) =>
          el("div", {}, el("dt", {}, ...keys.flatMap((each) => [el("kbd", {}, keyName(each)), " "])), el("dd", {}, title)),
        ),
      ),
    ),
  );
  return tellWriter("Keys", [el("div", { class: "key-groups" }, ...body)], { wide: true });
}

function grouped(commands) {
  const groups = new Map();
  for (const each of commands) groups.set(each.group, [...(groups.get(each.group) ?? []), each]);
  return groups;
}

command({ id: "keys", title: "Keys", group: "Desk", keys: "Mod+/", run: showKeys });

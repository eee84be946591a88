// Every action of the page: its name, its keys, whether it is possible now. Knows nothing of what any of them does.

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);
const SIGNS = MAC
  ? { Mod: "⌘", Alt: "⌥", Shift: "⇧" }
  : { Mod: "Ctrl", Alt: "Alt", Shift: "Shift" };
const NAMES = {
  Enter: "⏎",
  Escape: "Esc",
  ArrowUp: "↑",
  ArrowDown: "↓",
  PageUp: "Page Up",
  PageDown: "Page Down",
};

const commands = new Map();
const sources = [];

/**
 * id     stays the same for ever: what was used lately is remembered by it
 * title  what the writer reads, or a function that says it
 * group  what it is about
 * keys   like "Mod+Shift+E" (Mod: Ctrl, on a Mac Cmd), or several of them
 * where  id of the element, or of several, in which alone the keys are heard; without it they are heard everywhere
 * fields false: not heard in a field, where they mean something of their own
 * last   true: heard only where the same keys mean nothing else
 * listed false: not in the palette; what it does means nothing there
 * told   false: not in the list of keys, because everybody expects it
 * when   whether it is possible now
 * run    does it; is handed the element that had the focus, where keys were pressed in `where`
 *
 * Where several have the same keys, the first possible one is run.
 */
export function command({ id, title, keys = [], where = [], fields = true, last = false, listed = true, told = true, when = () => true, ...rest }) {
  const say = typeof title === "function" ? title : () => title;
  commands.set(id, { id, title: say, keys: [keys].flat(), where: [where].flat(), fields, last, listed, told, when, ...rest });
}

/** More commands, asked for anew every time: what can be gone to, the stops of the dial. */
export function commandSource(source) {
  sources.push(source);
}

/** All that can be chosen now, as [{id, title, group, keys, run}] with titles that are strings. */
export function possibleCommands() {
  const own = [...commands.values()].filter((each) => each.listed && each.when());
  return [...own.map((each) => ({ ...each, title: each.title() })), ...sources.flatMap((source) => source())];
}

/** Everything that has keys, possible or not, as [{title, group, keys}]. */
export function commandsWithKeys() {
  return [...commands.values()].filter((each) => each.keys.length && each.told).map((each) => ({ ...each, title: each.title() }));
}

export function runCommand(id) {
  const wanted = commands.get(id);
  if (wanted?.when()) wanted.run();
}

/** The keys of a command as people read them: "Ctrl Shift E". */
export function keyName(keys) {
  return keys.split("+").map((key) => SIGNS[key] ?? NAMES[key] ?? key).join(" ");
}

export function keysOf(id) {
  return commands.get(id).keys;
}

/** As `aria-keyshortcuts` wants it. */
export function ariaKeys(keys) {
  return keys.map((key) => key.replace("Mod", MAC ? "Meta" : "Control")).join(" ");
}

/** Runs what the keys pressed stand for. */
export function onKey(event) {
  if (event.isComposing || event.defaultPrevented) return;
  const inField = event.target.matches?.("input, textarea, select");
  for (const each of [...commands.values()].sort((a, b) => a.last - b.last)) {
    if (!each.keys.some((keys) => pressed(event, keys)) || (inField && !each.fields)) continue;
    if (each.where.length && !event.target.closest?.(each.where.map((id) => `#${id}`).join())) continue;
    if (!each.when()) continue;
    event.preventDefault();
    each.run(each.where.length ? event.target : undefined);
    return;
  }
}

function pressed(event, keys) {
  const parts = keys.split("+");
  const key = parts.pop() || "+";
  const mod = parts.includes("Mod");
  return (
    event.key.toLowerCase() === key.toLowerCase() &&
    event.altKey === parts.includes("Alt") &&
    event.shiftKey === parts.includes("Shift") &&
    (MAC ? event.metaKey : event.ctrlKey) === mod &&
    !(MAC ? event.ctrlKey : event.metaKey)
  );
}

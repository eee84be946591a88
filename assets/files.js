// Documents leave the desk as files, and files come in as documents.

import { Away, Refusal } from "./api.js";
import { sayRefusal } from "./asking.js";
import { command, commandSource } from "./commands.js";
import { note } from "./dialogs.js";
import { $, el } from "./dom.js";
import { go, refreshDocuments, saveDocument } from "./documents.js";
import { flushLines } from "./lines.js";
import { openMenu } from "./menu.js";
import { sheet } from "./sheet.js";
import { desk } from "./state.js";

const FORMATS = [
  ["md", "Markdown"],
  ["html", "Web page"],
  ["docx", "Word document"],
  ["epub", "E-book"],
  ["pdf", "PDF"],
  ["txt", "Plain text"],
];

function address(ending, sectionId) {
  return `/desk/export/${desk.outline.id}.${ending}${sectionId === null ? "" : `?section=${sectionId}`}`;
}

/** Saves what is unsaved, then hands the browser the file. */
async function download(ending, sectionId = null) {
  const place = address(ending, sectionId);
  await Promise.all([sheet.keeper?.flush(), saveDocument(), flushLines()]);
  const response = await reach(place);
  if (!response) return;
  const named = /filename\*=UTF-8''([^;]+)/.exec(response.headers.get("Content-Disposition") ?? "");
  const link = el("a", { href: URL.createObjectURL(await response.blob()), download: decodeURIComponent(named?.[1] ?? `document.${ending}`) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  const told = response.headers.get("Galley-Note");
  if (told) note(decodeURIComponent(told));
}

/** The answer, or null where it is a refusal, which the writer reads. */
async function reach(place, given) {
  try {
    const response = await fetch(place, given).catch(() => {
      throw new Away("The desk is not running.");
    });
    if (!response.ok) throw new Refusal(response.status, await response.json());
    return response;
  } catch (error) {
    sayRefusal(error, "file");
    return null;
  }
}

function exportMenu(button) {
  const entry = (sectionId) => ([ending, label]) => ({ label, mark: `.${ending}`, href: address(ending, sectionId), run: () => download(ending, sectionId) });
  openMenu(button, "Export", [
    { heading: "The whole document" },
    ...FORMATS.map(entry(null)),
    ...(desk.section ? [{ heading: "This section" }, ...FORMATS.map(entry(desk.section.id))] : []),
  ]);
}

async function bringIn(file) {
  note(`“${file.name}” is being read.`, "import");
  const response = await reach(`/desk/import?name=${encodeURIComponent(file.name)}`, {
    method: "POST",
    headers: { "Content-Type": "application/octet-stream" },
    body: file,
  });
  if (!response) return;
  const { document: made, notes } = await response.json();
  await refreshDocuments();
  await go(made.id);
  note(notes.length ? notes.join(" ") : `“${made.title || file.name}” is on the desk.`, "import");
}

const picker = $("import-file");

command({ id: "export", title: "Export …", group: "Document", listed: false, when: () => Boolean(desk.outline), run: () => exportMenu($("export")) });
command({ id: "import", title: "Import a file: Markdown, Word or plain text", group: "Document", run: () => picker.click() });
commandSource(() =>
  desk.outline ? FORMATS.map(([ending, label]) => ({ id: `export-${ending}`, title: `Export as ${label}`, group: "Document", run: () => download(ending) })) : [],
);
commandSource(() =>
  desk.section
    ? FORMATS.map(([ending, label]) => ({ id: `export-section-${ending}`, title: `Export this section as ${label}`, group: "Section", run: () => download(ending, desk.section.id) }))
    : [],
);
picker.addEventListener("change", async () => {
  const [file] = picker.files;
  if (file) await bringIn(file);
  picker.value = "";
});

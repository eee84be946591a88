// What the desk shows, and who wants to hear that it has changed. Knows nothing of the page or of the server.

export const desk = {
  model: null, // facts of the catalogue
  engine: null,
  jobs: [], // under way or waiting, in the order of their turns
  meter: null, // of the section that is being written, or was the last one
  ended: null, // how the last job ended
  documents: [],
  outline: null, // the open document without texts
  section: null, // the open section's facts
  heard: new Map(), // section → how often the server told of a change of its text while it was not open
  view: "edit",
};

const listeners = new Map();

/**
 * Calls `action` with whatever is told about a topic:
 *
 * model    another model, or the first one
 * lists    the documents, the outline, or which of their lines is open or being written
 * sections of the open document came or went, or another document is open
 * section  another section is open, or none
 * facts    the open section was saved, or changed elsewhere
 * typed    the writer changed the text
 * counted  a moment after the text has changed: its words are counted
 * appended a block of the model stands behind the text: {range, text, event}
 * step     a picture of the live block, or none
 * job      a job has begun, waits, or is over: its event; null after a break of the events
 * takes    the model offers something for a passage: {section_id, take}
 * chosen   a take was put into the text
 * previewed  other words are shown in the text, or no longer
 * pins     other words are to be kept
 * leaving  the open section is about to be closed
 * engine   the model is ready, or is not
 * writing  the engine, the job or its meter
 * view     another view
 * adopted  the open section's text and facts were replaced by the server's
 * quiet    words of the live block are to be shown, or not
 * gone     the open section was deleted elsewhere
 */
export function on(topic, action) {
  if (!listeners.has(topic)) listeners.set(topic, new Set());
  listeners.get(topic).add(action);
}

/** Resolves to what is told about a topic next. */
export function once(topic) {
  return new Promise((resolve) => {
    const heard = (given) => {
      listeners.get(topic).delete(heard);
      resolve(given);
    };
    on(topic, heard);
  });
}

export function tell(topic, given) {
  for (const action of listeners.get(topic) ?? []) action(given);
}

/** The open document's facts, from the server. */
export function setOutline(outline) {
  const had = new Set(desk.outline?.sections.map(({ id }) => id));
  const cameOrWent = outline.sections.length !== had.size || outline.sections.some(({ id }) => !had.has(id));
  desk.outline = outline;
  const card = desk.documents.find((each) => each.id === outline?.id);
  if (card) {
    card.title = outline.title;
    card.words = outline.sections.reduce((all, section) => all + section.words, 0);
  }
  tell("lists");
  if (cameOrWent) tell("sections");
}

/** New facts of one section, from a save or an event. */
export function setLine(line) {
  if (desk.section?.id === line.id) desk.section = { ...desk.section, ...line };
  const index = desk.outline?.sections.findIndex((each) => each.id === line.id) ?? -1;
  if (index < 0) return;
  const { text: _, ...facts } = line;
  desk.outline.sections[index] = { ...desk.outline.sections[index], ...facts };
  setOutline(desk.outline);
}

/** The outline's line of a section. */
export function lineOf(id) {
  return desk.outline?.sections.find((section) => section.id === id);
}

// -------------------------------------------------------------------------------------------------------------- jobs

export const isWriting = (job) => (job.kind ?? "write") === "write";

/** The job that the model is at, or null. */
export function runningJob() {
  return desk.jobs.find((job) => job.state === "running") ?? null;
}

/** The job that writes on in a section, under way or waiting, or null. */
export function writingJob(sectionId) {
  return desk.jobs.find((job) => isWriting(job) && job.section_id === sectionId) ?? null;
}

/** The job that writes on in the open section right now, or null. */
export function writingHere() {
  const job = desk.section && writingJob(desk.section.id);
  return job?.state === "running" ? job : null;
}

/** The job that makes takes for a passage of the open section, under way or waiting, or null. */
export function revisingHere() {
  return desk.jobs.find((job) => !isWriting(job) && job.section_id === desk.section?.id) ?? null;
}

/** What a "job" event says: a job is there, with these facts from now on, or it is over. */
export function setJob(event) {
  const known = desk.jobs.find((job) => job.job === event.job);
  if (event.state === "running" || event.state === "queued") {
    const title = lineOf(event.section_id)?.title ?? known?.section_title ?? "";
    const facts = { ...known, section_title: title, ...event };
    desk.jobs = known ? desk.jobs.map((job) => (job === known ? facts : job)) : [...desk.jobs, facts];
    desk.jobs.sort((a, b) => (a.position ?? 0) - (b.position ?? 0));
    return facts;
  }
  desk.jobs = desk.jobs.filter((job) => job !== known);
  return null;
}

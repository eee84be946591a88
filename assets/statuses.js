// How far a section is, in the writer's eyes.

export const STATUSES = { planned: "Planned", draft: "Draft", done: "Done" };

const ORDER = Object.keys(STATUSES);

export function nextStatus(status) {
  return ORDER[(ORDER.indexOf(status) + 1) % ORDER.length];
}

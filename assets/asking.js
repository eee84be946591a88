// Asks the desk for something; where it says no, the writer reads why.

import { Away, Refusal, ask, read } from "./api.js";
import { note, unnote } from "./dialogs.js";
import { desk, setOutline, tell } from "./state.js";

const AWAY = "The desk is not running. Start Galley again; what you type is kept in this browser.";

/** Runs a verb; a refusal becomes a sentence on the page. Resolves to null where it was refused. */
export async function attempt(verb, given) {
  try {
    const answer = await ask(verb, given);
    unnote("away");
    unnote(verb);
    return answer;
  } catch (error) {
    sayRefusal(error, verb);
    return null;
  }
}

/** Runs a verb whose refusal is of no interest to the writer. Resolves to null where it was refused. */
export async function inquire(verb, given) {
  try {
    return await read(verb, given);
  } catch (error) {
    if (error instanceof Away || error instanceof Refusal) return null;
    throw error;
  }
}

/** What is not a refusal stays an error. */
export function sayRefusal(error, verb) {
  if (error instanceof Away) note(AWAY, "away");
  else if (error instanceof Refusal) {
    note(error.message, verb);
    if (error.kind === "StaleDocument" && error.theirs.id === desk.outline?.id) setOutline(error.theirs);
    if (error.kind === "NotFound") tell("gone");
  } else throw error;
}

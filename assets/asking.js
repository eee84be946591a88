// Asks the desk for something; where it says no, the writer reads why.

import { Away, Refusal, ask } from "./api.js";
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

const inquiries = new Set();

/** Runs a verb whose refusal is of no interest to the writer. Resolves to null where it was refused. */
export async function inquire(verb, given) {
  const answer = ask(verb, given);
  inquiries.add(answer);
  try {
    return await answer;
  } catch (error) {
    if (error instanceof Away || error instanceof Refusal) return null;
    throw error;
  } finally {
    inquiries.delete(answer);
  }
}

/** Resolves once all that is being inquired about now is answered: what it asks about may go then. */
export const answered = () => Promise.allSettled(inquiries);

/** What is not a refusal stays an error. */
export function sayRefusal(error, verb) {
  if (error instanceof Away) note(AWAY, "away");
  else if (error instanceof Refusal) {
    note(error.message, verb);
    if (error.kind === "StaleDocument" && error.theirs.id === desk.outline?.id) setOutline(error.theirs);
    if (error.kind === "NotFound") tell("gone");
  } else throw error;
}

// Talks to the desk's server: verbs out, events in. Knows nothing of the page.

/** The desk answered, and said no: one sentence, and for a stale save both sides. */
export class Refusal extends Error {
  constructor(status, answer) {
    super(answer.sentence);
    this.status = status;
    this.kind = answer.error;
    this.mine = answer.mine;
    this.theirs = answer.theirs;
  }
}

/** The desk did not answer. */
export class Away extends Error {}

const KEEPALIVE_BYTES = 60_000; // browsers refuse more than 64 KiB of these at once

export async function ask(verb, given = {}, { leaving = false } = {}) {
  const body = JSON.stringify(given);
  let response;
  try {
    response = await fetch(`/desk/verb/${verb}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body,
      keepalive: leaving && body.length < KEEPALIVE_BYTES / 3,
    });
  } catch {
    throw new Away("The desk is not running.");
  }
  let answer;
  try {
    answer = await response.json();
  } catch {
    if (response.ok) throw new Away("The desk's answer broke off.");
    answer = { error: "Unknown", sentence: "The desk met something it did not expect; its window may say more." };
  }
  if (!response.ok) throw new Refusal(response.status, answer);
  return answer;
}

const readings = new Set();

/** Asks about something that may be deleted meanwhile; who deletes it waits until such are `answered`. */
export async function read(verb, given) {
  const answer = ask(verb, given);
  readings.add(answer);
  try {
    return await answer;
  } finally {
    readings.delete(answer);
  }
}

/** Resolves once all that is being read now is answered: what it asks about may go then. */
export const answered = () => Promise.allSettled(readings);

/** Follows the desk's events; the browser comes back by itself after a break, and `opened` says so. */
export function listen({ opened, event, lost }) {
  let source;
  const connect = () => {
    source = new EventSource("/desk/events");
    source.onopen = opened;
    source.onmessage = (message) => event(JSON.parse(message.data));
    source.onerror = () => {
      lost();
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, 1500);
    };
  };
  connect();
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (shown) => shown.persisted && connect());
}

// The desk's one word counter, as the server counts: runs of letters and digits; an apostrophe or hyphen inside does
// not split one.

const WORD = /[\p{L}\p{N}_]+(?:['’-][\p{L}\p{N}_]+)*/gu;

export function countWords(text) {
  return text.match(WORD)?.length ?? 0;
}

export function number(value) {
  return value.toLocaleString("en");
}

/** 1 word, 2 words. */
export function words(count) {
  return `${number(count)} ${count === 1 ? "word" : "words"}`;
}

/** Bytes as people say them. */
export function bytes(count) {
  return count < 1e9 ? `${Math.max(1, Math.round(count / 1e6))} MB` : `${(count / 1e9).toFixed(1)} GB`;
}

/** Seconds as people say them. */
export function duration(seconds) {
  if (seconds < 1) return "< 1 s";
  if (seconds < 100) return `${Math.round(seconds)} s`;
  return `${Math.round(seconds / 60)} min`;
}

/** 1st, 2nd, 3rd, 4th. */
export function ordinal(value) {
  const last = value % 100 > 10 && value % 100 < 14 ? 0 : value % 10;
  return `${value}${["th", "st", "nd", "rd"][last] ?? "th"}`;
}

/** An ISO time as people say it: the hour today, else the day and the hour. */
export function hour(iso) {
  const at = new Date(iso);
  const time = at.toLocaleTimeString("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const now = new Date();
  if (at.toDateString() === now.toDateString()) return time;
  const year = at.getFullYear() === now.getFullYear() ? {} : { year: "numeric" };
  return `${at.toLocaleDateString("en", { day: "numeric", month: "short", ...year })}, ${time}`;
}

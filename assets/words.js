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

/** Seconds as people say them. */
export function duration(seconds) {
  if (seconds < 1) return "< 1 s";
  if (seconds < 100) return `${Math.round(seconds)} s`;
  return `${Math.round(seconds / 60)} min`;
}

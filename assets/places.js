// Places in a text. The server counts characters, a browser's strings count units of 16 bits: a character beyond the
// first 65,536, such as most emoji, is two of them. Pure.

const PAIR = /[\ud800-\udbff][\udc00-\udfff]/g;

/** Where the server's place is in the browser's text. */
export function toUnits(text, characters) {
  let units = characters;
  for (const { index } of text.matchAll(PAIR)) {
    if (index >= units) break;
    units += 1;
  }
  return Math.min(units, text.length);
}

/** Where the browser's place is in the server's text. */
export function toCharacters(text, units) {
  return units - (text.slice(0, units).match(PAIR)?.length ?? 0);
}

/**
 * Where `passage` stands in a text that may have changed since it stood at `start`: there, else at the only other place;
 * null where it is gone or at several places.
 */
export function findAgain(text, passage, start) {
  if (text.startsWith(passage, start)) return start;
  if (!passage) return start <= text.length ? start : null;
  const first = text.indexOf(passage);
  return first >= 0 && text.indexOf(passage, first + 1) < 0 ? first : null;
}

/** Which stretch of `before` became which stretch of `after`: {start, gone, come}, lengths in units. */
export function change(before, after) {
  const most = Math.min(before.length, after.length);
  let start = 0;
  while (start < most && before[start] === after[start]) start += 1;
  let end = 0;
  while (end < most - start && before[before.length - 1 - end] === after[after.length - 1 - end]) end += 1;
  return { start, gone: before.length - start - end, come: after.length - start - end };
}

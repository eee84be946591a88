// Finds a few letters in a name, in their order but not side by side. Pure.

const BEGINS_WORD = 8;
const BEHIND_THE_LAST = 5;

/**
 * {score, places}: 0 where the letters are not all there, else more the more of them begin words or stand together;
 * places: which of the name's characters they are.
 */
export function fuzzy(query, name) {
  const wanted = [...plain(query)].filter((letter) => letter.trim());
  const letters = [...name].map((letter) => plain(letter));
  if (!wanted.length) return { score: 0, places: [] };
  let best = { score: 0, places: [] };
  letters.forEach((letter, start) => {
    if (letter !== wanted[0]) return;
    const tried = follow(wanted, letters, start);
    if (tried.score > best.score) best = tried;
  });
  return best;
}

function follow(wanted, letters, start) {
  const places = [];
  let score = 0;
  let from = start;
  for (const letter of wanted) {
    const beginning = from > start ? letters.findIndex((each, at) => at >= from && each === letter && begins(letters, at)) : -1;
    const next = letters.indexOf(letter, from);
    if (next < 0) return { score: 0, places: [] };
    const at = next === from || beginning < 0 ? next : beginning;
    score += 1;
    if (begins(letters, at)) score += BEGINS_WORD;
    if (places.length && places.at(-1) === at - 1) score += BEHIND_THE_LAST;
    places.push(at);
    from = at + 1;
  }
  return { score: score - start / letters.length - letters.length / 1000, places };
}

const begins = (letters, at) => at === 0 || !/[\p{L}\p{N}]/u.test(letters[at - 1]);

const plain = (text) => text.toLowerCase().normalize("NFD").replace(/\p{M}/gu, "");

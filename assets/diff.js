// What became of a text, word by word: E. W. Myers, "An O(ND) difference algorithm and its variations" (1986). Pure.

const PIECE = /[\p{L}\p{N}_]+(?:['’-][\p{L}\p{N}_]+)*|\s+|[^\p{L}\p{N}_\s]/gu;

const MOST_EDITS = 1000; // texts that differ in more words than this have nothing to do with each other

/** [{kind, text}], kind one of "same", "gone", "new"; without the gone ones it is `after`, without the new ones `before`. */
export function diff(before, after) {
  const a = before.match(PIECE) ?? [];
  const b = after.match(PIECE) ?? [];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  const middle = myers(a.slice(start, a.length - end), b.slice(start, b.length - end));
  const same = (text) => ({ kind: "same", text });
  return joined([...a.slice(0, start).map(same), ...middle, ...a.slice(a.length - end).map(same)]);
}

/** The shortest way from `a` to `b`, piece by piece. */
function myers(a, b) {
  const most = Math.min(a.length + b.length, MOST_EDITS);
  const zero = most + 1;
  const reached = new Int32Array(2 * most + 3); // at zero + diagonal: how far along `a` it has been followed
  const trace = []; // what was reached before each edit, from diagonal −edits − 1 on
  for (let edits = 0; edits <= most; edits += 1) {
    trace.push(reached.slice(zero - edits - 1, zero + edits + 2));
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      const at = zero + diagonal;
      let x = comesDown(reached, at, diagonal, edits) ? reached[at + 1] : reached[at - 1] + 1;
      while (x < a.length && x - diagonal < b.length && a[x] === b[x - diagonal]) x += 1;
      reached[at] = x;
      if (x >= a.length && x - diagonal >= b.length) return wayBack(a, b, trace);
    }
  }
  return [...a.map((text) => ({ kind: "gone", text })), ...b.map((text) => ({ kind: "new", text }))];
}

/** Whether the furthest way to a diagonal takes in a piece of `b` last, and not one out of `a`. */
function comesDown(reached, at, diagonal, edits) {
  return diagonal === -edits || (diagonal !== edits && reached[at - 1] < reached[at + 1]);
}

function wayBack(a, b, trace) {
  const way = [];
  let [x, y] = [a.length, b.length];
  for (let edits = trace.length - 1; edits >= 0; edits -= 1) {
    const reached = trace[edits];
    const diagonal = x - y;
    const at = diagonal + edits + 1;
    const down = comesDown(reached, at, diagonal, edits);
    const fromX = edits ? reached[down ? at + 1 : at - 1] : 0;
    const fromY = edits ? fromX - (down ? diagonal + 1 : diagonal - 1) : 0;
    while (x > fromX && y > fromY) {
      x -= 1;
      y -= 1;
      way.push({ kind: "same", text: a[x] });
    }
    if (!edits) break;
    if (down) way.push({ kind: "new", text: b[--y] });
    else way.push({ kind: "gone", text: a[--x] });
  }
  return way.reverse();
}

/** Neighbours of one kind become one; a mere space between two changes belongs to both, so that phrases stay whole. */
function joined(pieces) {
  const made = [];
  let gone = "";
  let come = "";
  const settle = () => {
    if (gone) made.push({ kind: "gone", text: gone });
    if (come) made.push({ kind: "new", text: come });
    gone = "";
    come = "";
  };
  pieces.forEach((piece, index) => {
    if (piece.kind === "gone") gone += piece.text;
    else if (piece.kind === "new") come += piece.text;
    else if ((gone || come) && !piece.text.trim() && pieces[index + 1] && pieces[index + 1].kind !== "same") {
      gone += piece.text;
      come += piece.text;
    } else {
      settle();
      if (made.at(-1)?.kind === "same") made.at(-1).text += piece.text;
      else made.push({ ...piece });
    }
  });
  settle();
  return made;
}

// When something is done that need not be done at once, and what is done with an answer that comes too late.

/** Runs an action once nobody has asked for it for `wait` milliseconds. */
export function later(action, wait) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, wait);
  };
}

/** Runs an action soon, and at most once in `wait` milliseconds. */
export function paced(action, wait) {
  let timer = 0;
  return () => {
    timer ||= setTimeout(() => {
      timer = 0;
      action();
    }, wait);
  };
}

/** Asks, and resolves to null where the same was asked again before the answer came: a slow answer overtakes no later one. */
export function takeLatest(ask) {
  let turn = 0;
  return async (...given) => {
    const mine = ++turn;
    const answer = await ask(...given);
    return mine === turn ? answer : null;
  };
}

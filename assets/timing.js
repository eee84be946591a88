// When something is done that need not be done at once.

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

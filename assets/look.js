// Light, dark or as the system says; set before the first paint, so that nothing flashes.
"use strict";
(() => {
  try {
    const theme = localStorage.getItem("galley:theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // A browser that keeps nothing: the system's look it is.
  }
})();

// Runs before the page is rendered, so that it does not flash in the other theme.
"use strict";

(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("nextclick.theme");
  } catch {
    // storage may be disabled: the system's theme is used
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();

// Read before the page is drawn, so that it does not flash in the other colors.
"use strict";

(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("nextclick.theme");
  } catch {
    // storage may be forbidden: the system's colors then
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();

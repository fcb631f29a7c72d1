// Before anything is drawn: the theme that was chosen in this browser.
"use strict";
{
  let theme = null;
  try {
    theme = localStorage.getItem("theme");
  } catch {
    // storage is turned off: the system decides
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}

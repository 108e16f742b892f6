// Light or dark: as the system says until the person chooses.

import { button } from "./dom.js";

const KEY = "nkca-theme";

export function startTheme() {
  apply(recall());
  button("theme").addEventListener("click", () => {
    const chosen = isDark() ? "light" : "dark";
    apply(chosen);
    remember(chosen);
  });
}

function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** @param {string | null} theme */
function apply(theme) {
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}

function recall() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** @param {string} theme */
function remember(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    return;
  }
}

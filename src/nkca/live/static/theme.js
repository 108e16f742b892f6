// Light or dark: as the system says until the person chooses.

import { button } from "./dom.js";
import { ofBrowser } from "./memory.js";

const KEY = "nkca-theme";

export function startTheme() {
  apply(ofBrowser.recall(KEY));
  button("theme").addEventListener("click", () => {
    const chosen = isDark() ? "light" : "dark";
    apply(chosen);
    ofBrowser.remember(KEY, chosen);
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

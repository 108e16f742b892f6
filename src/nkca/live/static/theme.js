// Light or dark: the system's theme until the user chooses one.

import { button } from "./dom.js";
import { browserMemory } from "./memory.js";

const KEY = "nkca-theme";

export function startTheme() {
  apply(browserMemory.recall(KEY));
  button("theme").addEventListener("click", () => {
    const chosen = isDark() ? "light" : "dark";
    apply(chosen);
    browserMemory.remember(KEY, chosen);
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

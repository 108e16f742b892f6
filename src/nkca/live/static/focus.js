// Releases the focus from a control after a click, so that the keys still control the whole page.

const CONTROLS = "button:not(.tile), select, label, a, input[type=range], input[type=radio], input[type=checkbox], input[type=file]";

export function startFocus() {
  let byPointer = false;
  document.addEventListener("pointerdown", () => (byPointer = true), true);
  document.addEventListener("keydown", () => (byPointer = false), true);
  const release = () => {
    const focused = document.activeElement;
    if (!byPointer || !(focused instanceof HTMLElement) || !focused.matches(CONTROLS)) return;
    const dialog = focused.closest("dialog");
    if (dialog) autofocused(dialog)?.focus();
    else focused.blur();
  };
  document.addEventListener("change", release);
  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target.closest(CONTROLS) : null;
    if (target && !target.matches("select")) release();
  });
}

/**
 * @param {Element} dialog
 * @returns {HTMLElement | null}
 */
function autofocused(dialog) {
  return dialog.querySelector("[autofocus]");
}

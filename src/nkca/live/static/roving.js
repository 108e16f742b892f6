// Roving tabindex: a list of buttons is one Tab stop, the arrow keys move within it.

/** @param {HTMLElement} list */
export function startRoving(list) {
  const buttons = () => [...list.querySelectorAll("button")];
  /** @param {HTMLElement | undefined} chosen */
  const choose = (chosen) => {
    for (const button of buttons()) button.tabIndex = button === chosen ? 0 : -1;
  };
  const settle = () => choose(buttons().find((button) => button.getAttribute("tabindex") === "0") ?? buttons().at(-1));
  new MutationObserver(settle).observe(list, { childList: true });
  list.addEventListener("focusin", (event) => choose(/** @type {HTMLElement} */ (event.target)));
  list.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const all = buttons();
    const next = all.at(placeAfter(event.key, all.findIndex((button) => button === event.target), all.length));
    if (!next || next === event.target) return;
    event.preventDefault();
    next.focus();
  });
}

/**
 * @param {string} key
 * @param {number} index
 * @param {number} count
 */
function placeAfter(key, index, count) {
  const places = { Home: 0, End: count - 1, ArrowLeft: Math.max(0, index - 1), ArrowRight: Math.min(count - 1, index + 1) };
  return key in places ? places[/** @type {keyof typeof places} */ (key)] : index;
}

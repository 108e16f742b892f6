// Dialogs close by their close button or a click outside; messages stay in front of them.

import { raiseMessages } from "./messages.js";

export function startDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    new MutationObserver(() => dialog.open && raiseMessages()).observe(dialog, { attributeFilter: ["open"] });
    const closeButton = dialog.querySelector(".close");
    closeButton?.addEventListener("click", () => dialog.close());
    dialog.addEventListener("pointerdown", (event) => {
      if (closeButton && event.target === dialog && isOutside(event, dialog)) dialog.close();
    });
  }
}

/**
 * @param {PointerEvent} event
 * @param {Element} element
 */
function isOutside({ clientX, clientY }, element) {
  const { left, right, top, bottom } = element.getBoundingClientRect();
  return clientX < left || clientX > right || clientY < top || clientY > bottom;
}

// A dialog that asks for confirmation before something is lost.

import { block, button, dialog, setText } from "./dom.js";

/**
 * @param {string} question
 * @param {string} yes
 * @param {string} no
 * @returns {Promise<boolean>}
 */
export function ask(question, yes, no) {
  const box = dialog("ask-dialog");
  if (box.open) return Promise.resolve(false);
  setText(block("ask-question"), question);
  setText(button("ask-yes"), yes);
  setText(button("ask-no"), no);
  box.returnValue = "";
  box.showModal();
  return new Promise((resolve) => box.addEventListener("close", () => resolve(box.returnValue === "yes"), { once: true }));
}

export function startAsk() {
  for (const answer of ["yes", "no"]) {
    button(`ask-${answer}`).addEventListener("click", () => dialog("ask-dialog").close(answer));
  }
}

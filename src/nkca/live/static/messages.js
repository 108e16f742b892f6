// Tells the person something: a banner, a toast, a word for screen readers.

import { block, make, setText } from "./dom.js";

const TOAST_MS = 6000;

/** @param {string} text */
export function say(text) {
  setText(block("status"), text);
}

/** @param {string | null} text */
export function banner(text) {
  const element = block("banner");
  setText(element, text ?? "");
  element.hidden = text === null;
}

/**
 * @param {string} text
 * @param {{label: string, run: () => void}} [action]
 */
export function toast(text, action) {
  const box = block("toasts");
  const message = make("div", { class: "toast", role: "status" }, make("span", {}, text));
  const close = () => {
    message.remove();
    if (!box.children.length) box.hidePopover();
  };
  message.addEventListener("click", close);
  if (action) message.append(actionButton(action));
  for (const old of [...box.children]) if (old.firstChild?.textContent === text || box.children.length > 2) old.remove();
  box.append(message);
  if (box.matches(":popover-open")) box.hidePopover();
  box.showPopover();
  setTimeout(close, TOAST_MS);
}

/** @param {{label: string, run: () => void}} action */
function actionButton({ label, run }) {
  const button = make("button", { type: "button", class: "small" }, label);
  button.addEventListener("click", run);
  return button;
}

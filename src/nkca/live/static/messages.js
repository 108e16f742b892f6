// Messages to the user: a banner, toasts, and text for screen readers.

import { block, icon, make, setText } from "./dom.js";
import { tabMemory } from "./memory.js";

const TOAST_MS = 6000;
const ACTION_MS = 15_000;
const MAX_MESSAGES = 4;
const CARRIED = "nkca-messages";

/** @param {string} text */
export function say(text) {
  setText(block("status"), text);
}

/** @param {string | null} text */
export function banner(text) {
  setText(block("banner"), text ?? "");
  raise("banner", text !== null);
}

/**
 * @param {string} text
 * @param {{label: string, run: () => void}} [action]
 */
export function toast(text, action) {
  const message = addMessage(text, "toast");
  const close = () => removeMessage(message);
  if (action) message.append(makeButton("small", action.label, () => (close(), action.run())));
  else message.addEventListener("click", close);
  setTimeout(close, action ? ACTION_MS : TOAST_MS);
}

/**
 * A message that stays until it is closed.
 *
 * @param {string} text
 */
export function notice(text) {
  const message = addMessage(text, "toast lasting");
  const closeButton = makeButton("quiet", icon("close"), () => removeMessage(message));
  closeButton.setAttribute("aria-label", "Close the message");
  message.append(closeButton);
}

/** Store the notices that are not closed, to show them again after a reload. */
export function carryNotices() {
  const texts = [...block("toasts").querySelectorAll(".lasting")].map((message) => message.textContent);
  tabMemory.remember(CARRIED, JSON.stringify(texts));
}

export function showCarriedNotices() {
  for (const text of JSON.parse(tabMemory.recall(CARRIED) ?? "[]")) notice(text);
  tabMemory.remember(CARRIED, "[]");
}

/** A dialog that has just been opened covers the messages: bring them to the front. */
export function raiseMessages() {
  for (const id of ["banner", "toasts"]) if (block(id).matches(":popover-open")) raise(id, true);
}

/**
 * @param {string} id
 * @param {boolean} shown
 */
function raise(id, shown) {
  const box = block(id);
  if (box.matches(":popover-open")) box.hidePopover();
  if (shown) box.showPopover();
}

/**
 * @param {string} text
 * @param {string} kind
 */
function addMessage(text, kind) {
  const box = block("toasts");
  const message = make("div", { class: kind, role: "status" }, make("span", {}, text));
  for (const old of [...box.children]) if (old.textContent === message.textContent) old.remove();
  const passing = [...box.children].filter((old) => !old.matches(".lasting"));
  if (box.children.length >= MAX_MESSAGES) passing[0]?.remove();
  box.append(message);
  raise("toasts", true);
  return message;
}

/** @param {Element} message */
function removeMessage(message) {
  message.remove();
  if (!block("toasts").children.length) raise("toasts", false);
}

/**
 * @param {string} kind
 * @param {string | Node} label
 * @param {() => void} run
 */
function makeButton(kind, label, run) {
  const button = make("button", { type: "button", class: kind }, label);
  button.addEventListener("click", run);
  return button;
}

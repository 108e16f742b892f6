// The frame of a dialog: its title, its close button, and the ways to close it.

import { Button } from "./controls.js";
import { html, useLayoutEffect, useRef } from "./preact.js";

/**
 * A modal dialog, open as long as it is drawn. With `head` it has a close button and closes by a click outside too.
 *
 * @param {{id: string, label: string, closed: () => void, keyed?: (event: KeyboardEvent) => void, head?: any, children?: any} & Record<string, any>} props
 *   `label`: the id of its title; `closed`: called once it is closed; `keyed`: called with the keys that are pressed in it
 */
export function Dialog({ id, label, closed, keyed, head, children, ...rest }) {
  const box = /** @type {{current: HTMLDialogElement}} */ (useRef(null));
  useLayoutEffect(() => box.current.showModal(), []);
  const close = () => box.current.close();
  /** @param {PointerEvent} event */
  const press = (event) => head && event.target === box.current && isOutside(event, box.current) && close();
  /** @param {KeyboardEvent} event which may reach a dialog that was closed a moment ago */
  const key = (event) => box.current.open && keyed?.(event);
  return html`<dialog id=${id} aria-labelledby=${label} ref=${box} onClose=${closed} onPointerDown=${press} onKeyDown=${key} ...${rest}>
    ${head && html`<div class="head">${head}<${Button} class="quiet close" icon="close" aria-label="Close" run=${close} /></div>`}
    ${children}
  </dialog>`;
}

/** @param {string} id of a dialog to close, if it is open */
export function closeDialog(id) {
  const box = document.getElementById(id);
  if (box instanceof HTMLDialogElement) box.close();
}

/**
 * @param {PointerEvent} event
 * @param {Element} element
 */
function isOutside({ clientX, clientY }, element) {
  const { left, right, top, bottom } = element.getBoundingClientRect();
  return clientX < left || clientX > right || clientY < top || clientY > bottom;
}

// One line above the grid: a hint what to do next.

import { block, setText } from "./dom.js";

/** @typedef {import("./store.js").Store} Store */

export class Hint {
  /** @param {Store} store */
  update({ head }) {
    if (head) setText(block("hint"), hintFor(head));
  }
}

/** @param {import("./types.js").Head} head */
function hintFor({ picked, running, step, annealing, locked, masked }) {
  if (running && annealing) return "Annealing: the level decreases and the pictures settle.";
  if (picked === null) {
    if (!running && step === 0) return "Press Run to begin. Click a picture you like, then Spread.";
    return "Click a picture you like, then Spread: all others continue from it.";
  }
  const tile = `tile ${picked + 1}`;
  if (locked.includes(picked)) return `The picked ${tile} is locked: it does not change while the others do.`;
  if (masked.includes(picked)) return `Only the painted pixels of ${tile} change. Spread it for many versions.`;
  return `Spread: all others continue from ${tile}. Keep: put it on the shelf.`;
}

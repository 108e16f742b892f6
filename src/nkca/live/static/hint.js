// One line above the grid: what could be done next.

import { block, setText } from "./dom.js";

/** @typedef {import("./desk.js").Desk} Desk */

export class Hint {
  /** @param {Desk} desk */
  update({ head }) {
    if (head) setText(block("hint"), hintFor(head));
  }
}

/** @param {import("./types.js").Head} head */
function hintFor({ picked, running, step, annealing, locked, masked }) {
  if (running && annealing) return "Annealing: the level goes down and the pictures settle.";
  if (picked === null) {
    if (!running && step === 0) return "Press Run to begin. Click a picture you like, then Spread.";
    return "Click a picture you like, then Spread: all others go on from it.";
  }
  const tile = `tile ${picked + 1}`;
  if (locked.includes(picked)) return `The picked ${tile} is locked: it stays while the others go on.`;
  if (masked.includes(picked)) return `Only what you painted on ${tile} changes. Spread it for many versions.`;
  return `Spread: all others go on from ${tile}. Keep: put it on the shelf.`;
}

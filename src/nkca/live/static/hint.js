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
function hintFor(head) {
  const { picked } = head;
  if (!head.running && head.step === 0 && picked === null) return "Press Run and watch the pictures change. Click one you like, then Spread.";
  if (head.annealing && head.running) return "Annealing: the level goes down and the pictures settle.";
  if (picked === null) return "Click a picture you like, then Spread: all others go on from it.";
  const name = `Tile ${picked + 1}`;
  if (head.locked.includes(picked)) return `${name} is locked: it stays as it is while the others go on.`;
  if (head.masked.includes(picked)) return `${name} is painted: only what you painted changes. Spread it to see many versions.`;
  return `${name}: Spread lets all others go on from it, Keep puts it on the shelf, Paint holds parts of it.`;
}

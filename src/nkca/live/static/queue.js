// The events that wait for the next turn.

/** @typedef {import("./types.js").Act} Act */

const MOST = 64;
const NEWEST_COUNTS = new Set(["level", "pick"]);
const ALONE = new Set(["undo", "redo", "jump"]); // these may be refused, and then take no others with them

export class Queue {
  /** @type {Act[]} */
  #acts = [];

  get acts() {
    return this.#acts;
  }

  get length() {
    return this.#acts.length;
  }

  /** @param {Act} act */
  add(act) {
    const last = this.#acts.at(-1);
    if (last && last.do === act.do && NEWEST_COUNTS.has(act.do)) this.#acts.pop();
    this.#acts.push(act);
  }

  /** @param {Act[]} acts */
  putBack(acts) {
    this.#acts.unshift(...acts);
  }

  clear() {
    this.#acts = [];
  }

  /** @returns {Act[]} what the next turn carries */
  take() {
    const barrier = this.#acts.findIndex((act) => ALONE.has(act.do));
    const count = barrier < 0 ? MOST : Math.max(1, barrier);
    return this.#acts.splice(0, Math.min(count, MOST));
  }
}

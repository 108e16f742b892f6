// The events that wait for the next turn, and those that are on their way.

/** @typedef {import("./types.js").Act} Act */

const MOST = 64;
const NEWEST_COUNTS = new Set(["level", "pick"]);
const ALONE = new Set(["undo", "redo", "jump"]); // these may be refused, and then take no others with them

export class Queue {
  /** @type {Act[]} */
  #waiting = [];
  /** @type {Act[]} */
  #flying = [];
  /** @type {WeakMap<Act, (done: boolean) => void>} */
  #answers = new WeakMap();

  get flying() {
    return this.#flying;
  }

  /** The events that the newest head does not know of yet. */
  get pending() {
    return [...this.#flying, ...this.#waiting];
  }

  /** How many wait. */
  get length() {
    return this.#waiting.length;
  }

  /** Whether a single step is wanted. */
  get steps() {
    return this.pending.some(isStep);
  }

  /**
   * @param {Act[]} acts
   * @returns {Promise<boolean>} whether the server has done them
   */
  add(...acts) {
    for (const act of acts) {
      const last = this.#waiting.at(-1);
      if (last && last.do === act.do && NEWEST_COUNTS.has(act.do)) this.#answer(this.#waiting.splice(-1), false);
      this.#waiting.push(act);
    }
    return new Promise((resolve) => this.#answers.set(acts[acts.length - 1], resolve));
  }

  /** @returns {Act[]} what the next turn carries */
  take() {
    const barrier = this.#waiting.findIndex((act) => ALONE.has(act.do));
    const count = barrier < 0 ? MOST : Math.max(1, barrier);
    this.#flying = this.#waiting.splice(0, Math.min(count, MOST));
    return this.#flying;
  }

  /**
   * The turn is over.
   *
   * @param {boolean} done
   */
  land(done) {
    this.#answer(this.#flying.splice(0), done);
  }

  /** The turn is to be tried again. */
  putBack() {
    this.#waiting.unshift(...this.#flying.splice(0));
  }

  clear() {
    this.#answer([...this.#flying.splice(0), ...this.#waiting.splice(0)], false);
  }

  /**
   * No single step is wanted any more.
   *
   * @returns {boolean} whether the turn that is on its way is for nothing else
   */
  dropSteps() {
    this.#answer(this.#waiting.filter(isStep), false);
    this.#waiting = this.#waiting.filter((act) => !isStep(act));
    return this.#flying.some(isStep) && this.#flying.every((act) => isStep(act) || act.do === "pause");
  }

  /**
   * @param {Act[]} acts
   * @param {boolean} done
   */
  #answer(acts, done) {
    for (const act of acts) this.#answers.get(act)?.(done);
  }
}

/** @param {Act} act */
function isStep(act) {
  return act.do === "step";
}

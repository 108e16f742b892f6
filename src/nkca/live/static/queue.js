// The events that wait for the next turn, and those in flight.

/** @typedef {import("./types.js").ChainEvent} ChainEvent */

const MAX_EVENTS = 64;
const NEWEST_COUNTS = new Set(["level", "select"]);
const ALONE = new Set(["undo", "redo", "jump"]); // these may be refused, so each gets a turn of its own

export class Queue {
  /** @type {ChainEvent[]} */
  #waiting = [];
  /** @type {ChainEvent[]} */
  #inFlight = [];
  /** @type {WeakMap<ChainEvent, (done: boolean) => void>} */
  #resolvers = new WeakMap();

  get inFlight() {
    return this.#inFlight;
  }

  /** The events that the newest head does not yet include. */
  get pending() {
    return [...this.#inFlight, ...this.#waiting];
  }

  /** The number of waiting events. */
  get length() {
    return this.#waiting.length;
  }

  /** Whether single steps are pending. */
  get steps() {
    return this.pending.some(isStep);
  }

  /**
   * @param {ChainEvent[]} events
   * @returns {Promise<boolean>} whether the server has applied them
   */
  add(...events) {
    for (const event of events) {
      const last = this.#waiting.at(-1);
      if (last && last.do === event.do && NEWEST_COUNTS.has(event.do)) this.#resolve(this.#waiting.splice(-1), false);
      this.#waiting.push(event);
    }
    return new Promise((resolve) => this.#resolvers.set(events[events.length - 1], resolve));
  }

  /** @returns {ChainEvent[]} the events for the next turn */
  take() {
    const barrier = this.#waiting.findIndex((event) => ALONE.has(event.do));
    const count = barrier < 0 ? MAX_EVENTS : Math.max(1, barrier);
    this.#inFlight = this.#waiting.splice(0, Math.min(count, MAX_EVENTS));
    return this.#inFlight;
  }

  /**
   * The turn has ended.
   *
   * @param {boolean} done whether its events were applied
   */
  finish(done) {
    this.#resolve(this.#inFlight.splice(0), done);
  }

  /** Return the events in flight to the queue, to retry the turn. */
  putBack() {
    this.#waiting.unshift(...this.#inFlight.splice(0));
  }

  clear() {
    this.#resolve([...this.#inFlight.splice(0), ...this.#waiting.splice(0)], false);
  }

  /**
   * Drop the waiting single steps.
   *
   * @returns {boolean} whether the turn in flight is for single steps alone
   */
  dropSteps() {
    this.#resolve(this.#waiting.filter(isStep), false);
    this.#waiting = this.#waiting.filter((event) => !isStep(event));
    return this.#inFlight.some(isStep) && this.#inFlight.every((event) => isStep(event) || event.do === "pause");
  }

  /**
   * @param {ChainEvent[]} events
   * @param {boolean} done
   */
  #resolve(events, done) {
    for (const event of events) this.#resolvers.get(event)?.(done);
  }
}

/** @param {ChainEvent} event */
function isStep(event) {
  return event.do === "step";
}

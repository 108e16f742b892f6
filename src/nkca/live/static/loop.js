// Pulls frames from the server: one turn in flight, never more.

import { ServerError } from "./api.js";
import { expect } from "./expect.js";
import { Queue } from "./queue.js";

/**
 * @typedef {import("./types.js").Act} Act
 * @typedef {import("./types.js").Head} Head
 * @typedef {import("./types.js").Reply} Reply
 * @typedef {import("./types.js").Turn} Turn
 *
 * @typedef {object} Partner
 * @property {(acts: Act[], steps: number, signal: AbortSignal) => Promise<Reply>} ask
 * @property {(reply: Reply) => void} receive draws the frame
 * @property {() => {stride: number, limit: number}} pace
 * @property {() => void} changed the events on their way are others now
 * @property {(message: string) => void} refused
 * @property {(error: ServerError | null) => void} lost null: the server is back
 */

const POLL_MS = 1000;
const RETRY_MS = 2000;
const EMPTY_MS = 100; // after an answer without a picture
const REPLAY_STRIDE = 16;

export class Loop {
  /** @type {Head | null} */
  #head = null;
  /** @type {Act[]} */
  #flying = [];
  #queue = new Queue();
  #lost = false;
  #stepped = -Infinity;
  #ended = -Infinity;
  #empty = false;
  #stale = false;
  #wake = () => {};
  #flight = new AbortController();
  #hurried = false;

  /** @param {Partner} partner */
  constructor(partner) {
    this.partner = partner;
  }

  /** The events that the newest head does not know of yet. */
  get pending() {
    return [...this.#flying, ...this.#queue.acts];
  }

  /** @param {Act[]} acts */
  send(...acts) {
    if (this.#lost) return;
    for (const act of acts) this.#queue.add(act);
    if (acts.some((act) => act.do === "level")) this.#hurry();
    this.partner.changed();
    this.#wake();
  }

  /** Give up the step that is on: its noise level is no more what is wanted. Once for each frame. */
  #hurry() {
    if (this.#hurried || this.#flying.length) return;
    this.#hurried = true;
    this.#flight.abort();
  }

  /** Something else than the events changed: think again about when to pull. */
  nudge() {
    this.#wake();
  }

  /** What is on the screen is not what is wanted: pull soon. */
  refresh() {
    this.#stale = true;
    this.#wake();
  }

  async start() {
    document.addEventListener("visibilitychange", () => this.#wake());
    for (;;) {
      for (let wait = this.#wait(); wait > 0; wait = this.#wait()) await this.#rest(wait);
      await this.#turn();
    }
  }

  /** @returns {number} milliseconds until the next turn */
  #wait() {
    const now = performance.now();
    if (document.hidden) return Infinity;
    if (this.#lost) return this.#ended + RETRY_MS - now;
    if (this.#queue.length || this.#stale || !this.#head) return 0;
    const pause = this.#empty ? EMPTY_MS : 0;
    if (advances(this.#head)) return Math.max(this.#ended + pause, this.#due()) - now;
    return this.#ended + POLL_MS - now;
  }

  /** When the next step may be made. */
  #due() {
    const { stride, limit } = this.partner.pace();
    return this.#stepped + (stride / limit) * 1000;
  }

  /** @param {number} wait */
  #rest(wait) {
    return new Promise((resolve) => {
      const timer = Number.isFinite(wait) ? setTimeout(resolve, wait) : undefined;
      this.#wake = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
    });
  }

  async #turn() {
    const acts = (this.#flying = this.#queue.take());
    const steps = this.#steps(acts);
    const stepped = this.#stepped;
    if (steps) this.#stepped = performance.now();
    this.#stale = false;
    const { signal } = (this.#flight = new AbortController());
    try {
      this.#take(await this.partner.ask(acts, steps, signal));
    } catch (error) {
      this.#flying = [];
      if (signal.aborted) this.#stepped = stepped;
      else this.#fail(error, acts);
    }
    this.#ended = performance.now();
  }

  /** @param {Act[]} acts */
  #steps(acts) {
    if (!this.#head || performance.now() < this.#due()) return 0;
    if (this.#head.replaying) return REPLAY_STRIDE;
    return expect(this.#head, acts).running ? this.partner.pace().stride : 0;
  }

  /** @param {Reply} reply */
  #take(reply) {
    this.#flying = [];
    this.#head = reply.head;
    if (reply.picture) this.#hurried = false;
    this.#empty = !reply.picture;
    if (this.#lost) this.partner.lost(null);
    this.#lost = false;
    this.partner.receive(reply);
  }

  /**
   * @param {unknown} error
   * @param {Act[]} acts
   */
  #fail(error, acts) {
    if (!(error instanceof ServerError)) throw error;
    if (acts.length && [409, 413, 422].includes(error.status)) {
      this.partner.refused(error.message);
    } else {
      this.#lost = true;
      if (error.status === 503) this.#queue.putBack(acts);
      else this.#queue.clear();
      this.partner.lost(error);
    }
    this.partner.changed();
  }
}

/** @param {Head} head */
function advances(head) {
  return head.running || head.replaying !== null;
}

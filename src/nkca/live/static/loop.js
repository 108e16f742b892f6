// Pulls frames from the server: one turn in flight, never more.

import { ServerError } from "./api.js";
import { expect } from "./expect.js";
import { Queue } from "./queue.js";

/**
 * @typedef {import("./types.js").Act} Act
 * @typedef {import("./types.js").Head} Head
 * @typedef {import("./types.js").Reply} Reply
 *
 * @typedef {object} Partner
 * @property {(acts: Act[], steps: number, signal: AbortSignal) => Promise<Reply>} ask
 * @property {(reply: Reply) => void} receive draws the frame
 * @property {() => {stride: number, limit: number}} pace
 * @property {() => void} changed the events on their way are others now
 * @property {(message: string) => void} refused what was asked for is not done
 * @property {(message: string) => void} failed what went on by itself is at its end
 * @property {(error: ServerError | null) => void} lost null: the server is back
 */

const POLL_MS = 1000;
const RETRY_MS = 2000;
const EMPTY_MS = 100; // after an answer without a picture
const SLOW_MS = 250; // single steps that take longer can be paused
const REPLAY_STRIDE = 16;
const REFUSED = [409, 413, 422];

export class Loop {
  /** @type {Head | null} */
  #head = null;
  #queue = new Queue();
  #lost = false;
  #stepped = -Infinity;
  #ended = -Infinity;
  #pause = 0;
  #stale = false;
  #asked = -Infinity; // when the single steps began
  #shown = -Infinity; // when the last of them was there
  #wake = () => {};
  #flight = new AbortController();
  #hurried = false;

  /** @param {Partner} partner */
  constructor(partner) {
    this.partner = partner;
  }

  /** The events that the newest head does not know of yet. */
  get pending() {
    return this.#queue.pending;
  }

  /** Whether single steps are on their way that a person may want to stop. */
  get stepping() {
    return this.#queue.steps && performance.now() - this.#asked >= SLOW_MS;
  }

  /**
   * @param {Act[]} acts
   * @returns {Promise<boolean>} whether the server has done them
   */
  send(...acts) {
    if (this.#lost) return Promise.resolve(false);
    const stepped = this.#queue.steps;
    const done = this.#queue.add(...acts);
    if (!stepped && this.#queue.steps) this.#watchSteps();
    if (acts.some((act) => act.do === "level")) this.#hurry();
    this.partner.changed();
    this.#wake();
    return done;
  }

  dropSteps() {
    if (this.#queue.dropSteps()) this.#flight.abort();
  }

  #watchSteps() {
    const now = performance.now();
    if (now - this.#shown > SLOW_MS) this.#asked = now;
    setTimeout(() => this.partner.changed(), SLOW_MS);
  }

  /** Give up the step that is on: its noise level is no more what is wanted. Once for each frame. */
  #hurry() {
    if (this.#hurried || this.#queue.flying.length) return;
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
    if (this.#queue.length) return 0;
    const rested = this.#ended + this.#pause;
    if (this.#stale || !this.#head) return rested - now;
    if (advances(this.#head)) return Math.max(rested, this.#due()) - now;
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
    const acts = this.#queue.take();
    const single = this.#queue.steps;
    const steps = this.#steps(acts);
    const stepped = this.#stepped;
    if (steps) this.#stepped = performance.now();
    this.#stale = false;
    const { signal } = (this.#flight = new AbortController());
    try {
      this.#take(await this.partner.ask(acts, steps, signal));
    } catch (error) {
      if (signal.aborted) this.#stepped = stepped;
      else this.#fail(error);
      this.#queue.land(false);
      this.partner.changed();
    }
    this.#ended = performance.now();
    if (single) this.#shown = this.#ended;
  }

  /** @param {Act[]} acts */
  #steps(acts) {
    if (!this.#head || performance.now() < this.#due()) return 0;
    if (this.#head.replaying) return REPLAY_STRIDE;
    return expect(this.#head, acts).running ? this.partner.pace().stride : 0;
  }

  /** @param {Reply} reply */
  #take(reply) {
    this.#queue.land(true);
    this.#head = reply.head;
    if (reply.picture) this.#hurried = false;
    this.#pause = reply.picture ? 0 : EMPTY_MS;
    if (this.#lost) this.partner.lost(null);
    this.#lost = false;
    this.partner.receive(reply);
  }

  /** @param {unknown} error */
  #fail(error) {
    if (!(error instanceof ServerError)) throw error;
    if (!REFUSED.includes(error.status)) return this.#lose(error);
    if (this.#queue.flying.length) return this.partner.refused(error.message);
    this.#pause = RETRY_MS;
    this.partner.failed(error.message);
  }

  /** @param {ServerError} error */
  #lose(error) {
    this.#lost = true;
    if (error.status === 503) this.#queue.putBack();
    else this.#queue.clear();
    this.partner.lost(error);
  }
}

/** @param {Head} head */
function advances(head) {
  return head.running || head.replaying !== null;
}

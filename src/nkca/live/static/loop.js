// Requests frames from the server, with at most one turn in flight; the queue of events that turns carry.

import { withPending } from "./commands.js";

/**
 * @import { ChainEvent, Head } from "./types.js"
 * @typedef {{head: Head, picture: ImageBitmap | null}} Reply
 *
 * @typedef {object} Host of the loop
 * @property {(events: ChainEvent[], steps: number, signal: AbortSignal) => Promise<Reply>} ask
 * @property {(reply: Reply) => void} receive draws the frame
 * @property {() => {stride: number, limit: number}} pace
 * @property {() => void} changed the pending events have changed
 * @property {(message: string) => void} refused the server did not apply an event
 * @property {(message: string) => void} failed a step or a replay failed
 * @property {(error: ServerError | null) => void} lost null: the server is back
 */

const POLL_MS = 1000;
const RETRY_MS = 2000;
const EMPTY_MS = 100; // pause after a response without a picture
const SLOW_MS = 250; // single steps that take longer can be stopped with Pause
const REPLAY_STRIDE = 16;
const REFUSED = [409, 413, 422];
const AWAY = "Not done: the server does not respond.";
const UNSURE = "The server does not respond: what you did last may not be done.";
const NEWEST_COUNTS = new Set(["level", "select"]);
const ALONE = new Set(["undo", "redo", "jump"]); // these may be refused, so each gets a turn of its own

export class ServerError extends Error {
  /**
   * @param {number} status 0: no response
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class Loop {
  /** @type {Head | null} */
  #head = null;
  #queue;
  #lost = false;
  #stepped = -Infinity;
  #ended = -Infinity;
  #pause = 0;
  #stale = false;
  #asked = -Infinity; // when the current series of single steps began
  #shown = -Infinity; // when the last of them was shown
  #wake = () => {};
  #flight = new AbortController();
  #cancelled = false;
  /** @type {number | null} */
  #sent = null; // when the turn in flight began

  /**
   * @param {Host} host
   * @param {number} maxEvents that a turn carries
   */
  constructor(host, maxEvents) {
    this.host = host;
    this.#queue = new Queue(maxEvents);
  }

  /** Seconds since the turn in flight began; 0 if there is none. */
  get waiting() {
    return this.#sent === null ? 0 : (performance.now() - this.#sent) / 1000;
  }

  /** The events that the newest head does not yet include. */
  get pending() {
    return this.#queue.pending;
  }

  /** Whether single steps are pending for so long that the user may want to stop them. */
  get stepping() {
    return this.#queue.steps && performance.now() - this.#asked >= SLOW_MS;
  }

  /**
   * @param {ChainEvent[]} events
   * @returns {Promise<boolean>} whether the server has applied them
   */
  send(...events) {
    if (this.#lost) {
      this.host.refused(AWAY);
      this.host.changed();
      return Promise.resolve(false);
    }
    const stepped = this.#queue.steps;
    const done = this.#queue.add(...events);
    if (!stepped && this.#queue.steps) this.#watchSteps();
    if (events.some((event) => event.do === "level")) this.#cancelStep();
    this.host.changed();
    this.#wake();
    return done;
  }

  dropSteps() {
    if (this.#queue.dropSteps()) this.#flight.abort();
  }

  #watchSteps() {
    const now = performance.now();
    if (now - this.#shown > SLOW_MS) this.#asked = now;
    setTimeout(() => this.host.changed(), SLOW_MS);
  }

  /** Cancel the step in flight, whose noise level is outdated; at most once for each frame. */
  #cancelStep() {
    if (this.#cancelled || this.#queue.inFlight.length) return;
    this.#cancelled = true;
    this.#flight.abort();
  }

  /** Recompute when the next turn is due, after a change other than of the events. */
  nudge() {
    this.#wake();
  }

  /** Request a frame soon: the one on the screen is outdated. */
  refresh() {
    this.#stale = true;
    this.#wake();
  }

  async start() {
    document.addEventListener("visibilitychange", () => this.#wake());
    for (;;) {
      for (let wait = this.#wait(); wait > 0; wait = this.#wait()) await this.#sleep(wait);
      await this.#turn();
    }
  }

  /** @returns {number} milliseconds until the next turn */
  #wait() {
    const now = performance.now();
    if (document.hidden) return Infinity;
    if (this.#lost) return this.#ended + RETRY_MS - now;
    if (this.#queue.length) return 0;
    const ready = this.#ended + this.#pause;
    if (this.#stale || !this.#head) return ready - now;
    if (advances(this.#head)) return Math.max(ready, this.#due()) - now;
    if (this.#head.pictured === null) return ready - now;
    return this.#ended + POLL_MS - now;
  }

  /** The earliest time of the next step. */
  #due() {
    const { stride, limit } = this.host.pace();
    return this.#stepped + (stride / limit) * 1000;
  }

  /** @param {number} wait */
  #sleep(wait) {
    return new Promise((resolve) => {
      const timer = Number.isFinite(wait) ? setTimeout(resolve, wait) : undefined;
      this.#wake = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
    });
  }

  async #turn() {
    const events = this.#queue.take();
    const single = this.#queue.steps;
    const steps = this.#steps(events);
    const stepped = this.#stepped;
    if (steps) this.#stepped = performance.now();
    this.#stale = false;
    this.#sent = performance.now();
    const { signal } = (this.#flight = new AbortController());
    try {
      this.#accept(await this.host.ask(events, steps, signal));
    } catch (error) {
      if (signal.aborted) this.#stepped = stepped;
      else this.#fail(error);
      this.#queue.finish(false);
      this.host.changed();
    }
    this.#sent = null;
    this.#ended = performance.now();
    if (single) this.#shown = this.#ended;
  }

  /** @param {ChainEvent[]} events */
  #steps(events) {
    if (!this.#head || performance.now() < this.#due()) return 0;
    if (this.#head.replaying) return REPLAY_STRIDE;
    return withPending(this.#head, events).running ? this.host.pace().stride : 0;
  }

  /** @param {Reply} reply */
  #accept(reply) {
    this.#queue.finish(true);
    const { version, pictured } = reply.head;
    const news = reply.picture !== null || pictured === null || version !== this.#head?.version;
    this.#head = reply.head;
    if (reply.picture) this.#cancelled = false;
    this.#pause = news ? 0 : EMPTY_MS;
    if (this.#lost) this.host.lost(null);
    this.#lost = false;
    this.host.receive(reply);
  }

  /** @param {unknown} error */
  #fail(error) {
    if (!(error instanceof ServerError)) throw error;
    if (!REFUSED.includes(error.status)) return this.#disconnect(error);
    if (this.#queue.inFlight.length) return this.host.refused(error.message);
    this.#pause = RETRY_MS;
    this.host.failed(error.message);
  }

  /** @param {ServerError} error */
  #disconnect(error) {
    this.#lost = true;
    if (error.status === 503) this.#queue.putBack();
    else {
      if (this.pending.length) this.host.refused(UNSURE);
      this.#queue.clear();
    }
    this.host.lost(error);
  }
}

/** @param {Head} head */
function advances(head) {
  return head.running || head.replaying !== null;
}

export class Queue {
  /** @type {ChainEvent[]} */
  #waiting = [];
  /** @type {ChainEvent[]} */
  #inFlight = [];
  /** @type {WeakMap<ChainEvent, (done: boolean) => void>} */
  #resolvers = new WeakMap();

  /** @param {number} maxEvents that a turn carries */
  constructor(maxEvents) {
    this.maxEvents = maxEvents;
  }

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
    const count = barrier < 0 ? this.maxEvents : Math.max(1, barrier);
    this.#inFlight = this.#waiting.splice(0, Math.min(count, this.maxEvents));
    return this.#inFlight;
  }

  /** @param {boolean} done whether the events of the turn, which has ended, were applied */
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

  /** @param {ChainEvent[]} events @param {boolean} done */
  #resolve(events, done) {
    for (const event of events) this.#resolvers.get(event)?.(done);
  }
}

/** @param {ChainEvent} event */
function isStep(event) {
  return event.do === "step";
}

// A loop with a fake clock and a fake server, both controlled by the test.

import { Loop, ServerError } from "../../../src/nkca/live/static/loop.js";

const HEAD = { running: false, replaying: null, level: 0.5, annealing: 0, picked: null, locked: [] };

/** Resolves when all work that does not wait for the clock is done. */
export const settled = () => new Promise(setImmediate);

class Clock {
  now = 1000;
  /** @type {Set<{at: number, run: () => void}>} */
  #timers = new Set();

  set = (run, wait) => {
    const timer = { at: this.now + wait, run };
    this.#timers.add(timer);
    return timer;
  };

  clear = (timer) => this.#timers.delete(timer);

  /** @param {number} ms */
  async advance(ms) {
    const end = this.now + ms;
    await settled();
    for (let timer = this.#first(end); timer; timer = this.#first(end)) {
      this.#timers.delete(timer);
      this.now = timer.at;
      timer.run();
      await settled();
    }
    this.now = end;
  }

  /** @param {number} end */
  #first(end) {
    const due = [...this.#timers].filter(({ at }) => at <= end);
    return due.sort((a, b) => a.at - b.at)[0];
  }
}

class Tab extends EventTarget {
  hidden = false;

  /** @param {boolean} hidden */
  async turn(hidden) {
    this.hidden = hidden;
    this.dispatchEvent(new Event("visibilitychange"));
    await settled();
  }
}

/** The loop's host: records all calls, in order. */
class Host {
  /** @type {{events: object[], steps: number, at: number}[]} */
  turns = [];
  /** @type {unknown[][]} all calls except `ask` and `changed` */
  told = [];
  changes = 0;
  settings = { stride: 1, limit: Infinity };
  #flight = null;

  constructor(clock) {
    this.clock = clock;
  }

  get waiting() {
    return this.#flight !== null;
  }

  get last() {
    return this.turns.at(-1);
  }

  ask(events, steps, signal) {
    if (this.#flight) throw new Error("two turns in flight");
    this.turns.push({ events: [...events], steps, at: this.clock.now });
    return new Promise((resolve, reject) => {
      this.#flight = { resolve, reject };
      signal.addEventListener("abort", () => this.#end("reject", new ServerError(0, "The server does not respond")));
    });
  }

  /** Answer the turn in flight; `picture: null` for a response without one. */
  async answer(head = {}, picture = {}) {
    this.#end("resolve", { head: { ...HEAD, ...head }, picture });
    await settled();
  }

  /** @param {number} status 0: no response */
  async fail(status, message = `status ${status}`) {
    await this.break(new ServerError(status, message));
  }

  /** @param {unknown} error */
  async break(error) {
    this.#end("reject", error);
    await settled();
  }

  #end(how, value) {
    const flight = this.#flight;
    this.#flight = null;
    flight[how](value);
  }

  pace = () => this.settings;
  changed = () => void (this.changes += 1);
  receive = ({ head, picture }) => this.told.push(["receive", head.running, picture !== null]);
  refused = (message) => this.told.push(["refused", message]);
  failed = (message) => this.told.push(["failed", message]);
  lost = (error) => this.told.push(["lost", error && error.status]);
}

/**
 * Start a loop; its first turn is in flight.
 *
 * @param {import("node:test").TestContext} t
 */
export async function begin(t) {
  const clock = new Clock();
  t.mock.method(performance, "now", () => clock.now);
  t.mock.method(globalThis, "setTimeout", clock.set);
  t.mock.method(globalThis, "clearTimeout", clock.clear);
  const tab = new Tab();
  globalThis.document = tab;
  t.after(() => delete globalThis.document);
  const host = new Host(clock);
  const loop = new Loop(host, 64);
  const ended = loop.start();
  ended.catch(() => {});
  await settled();
  return { clock, tab, host, loop, ended };
}

/** As `begin`, with the first turn answered. */
export async function started(t, head = {}, settings = {}) {
  const fakes = await begin(t);
  Object.assign(fakes.host.settings, settings);
  await fakes.host.answer(head);
  fakes.host.told.length = 0;
  return fakes;
}

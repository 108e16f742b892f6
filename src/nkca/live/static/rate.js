// The rate of an event per second, averaged over two seconds.

const WINDOW_MS = 2000;
const SHOW_MS = 400;

export class Rate {
  /** @type {number[]} */
  #times = [];
  #shown = 0;
  #text = "0.0";

  tick() {
    const now = performance.now();
    this.#times = this.#times.filter((time) => now - time < WINDOW_MS);
    this.#times.push(now);
  }

  reset() {
    this.#times = [];
    this.#text = "0.0";
  }

  /** The rate as text, updated slowly enough to read. */
  get text() {
    const now = performance.now();
    if (now - this.#shown > SHOW_MS && this.#times.length > 1) {
      const seconds = (now - this.#times[0]) / 1000;
      this.#text = ((this.#times.length - 1) / seconds).toFixed(1);
      this.#shown = now;
    }
    return this.#text;
  }
}

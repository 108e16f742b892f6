// The controls for running, pausing, stepping and speed.

import { block, button, find, setAttribute, setIcon, setLabel, setText } from "./dom.js";
import { Rate } from "./rate.js";

/**
 * @typedef {import("./store.js").Store} Store
 * @typedef {import("./commands.js").Commands} Commands
 */

const BUSY_S = 2;
const HANGING_S = 20;

export class Running {
  /**
   * @param {Store} store
   * @param {Commands} commands
   */
  constructor(store, commands) {
    this.buttons = ["run", "paint-run", "zoom-run"].map(button);
    this.rate = new Rate();
    for (const run of this.buttons) run.addEventListener("click", () => commands.toggleRun());
    button("step").addEventListener("click", () => commands.step());
    const { limit, stride } = store.settings;
    setInterval(() => showWaiting(store.loop.waiting), 500);
    onChoice("speed", limit === Infinity ? "max" : String(limit), (value) => store.set({ limit: value === "max" ? Infinity : Number(value) }));
    onChoice("stride", String(stride), (value) => store.set({ stride: Number(value) }));
  }

  draw() {
    this.rate.tick();
  }

  /** @param {Store} store */
  update({ head, loop }) {
    if (!head) return;
    if (!head.running && !head.replaying) this.rate.reset();
    const active = head.running || loop.stepping;
    for (const run of this.buttons) {
      setIcon(run, active ? "pause" : "run");
      setLabel(run, active ? "Pause" : "Run");
    }
    setAttribute(document.body, "data-running", String(head.running));
    setText(block("steps"), String(head.step));
    setText(block("fps"), this.rate.text);
  }
}

/**
 * A sign of life while a step takes long, and word of a server that hangs.
 *
 * @param {number} seconds
 */
function showWaiting(seconds) {
  const line = block("waiting");
  line.hidden = seconds < BUSY_S;
  const what = seconds < HANGING_S ? "working" : "no answer for";
  setText(line, `${what} ${Math.floor(seconds)} s`);
}

/**
 * @param {string} id
 * @param {string} chosen
 * @param {(value: string) => void} choose
 */
function onChoice(id, chosen, choose) {
  const select = find(id, HTMLSelectElement);
  select.value = chosen;
  select.addEventListener("change", () => choose(select.value));
}

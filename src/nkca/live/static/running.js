// Running, pausing, stepping, and how fast.

import { block, button, find, setAttribute, setIcon, setLabel, setText } from "./dom.js";
import { Rate } from "./rate.js";

/**
 * @typedef {import("./desk.js").Desk} Desk
 * @typedef {import("./commands.js").Commands} Commands
 */

export class Running {
  /**
   * @param {Desk} desk
   * @param {Commands} commands
   */
  constructor(desk, commands) {
    this.buttons = [button("run"), button("paint-run")];
    this.rate = new Rate();
    for (const run of this.buttons) run.addEventListener("click", () => commands.toggleRun());
    button("step").addEventListener("click", () => commands.step());
    const { limit, stride } = desk.settings;
    onChoice("speed", limit === Infinity ? "max" : String(limit), (value) => desk.set({ limit: value === "max" ? Infinity : Number(value) }));
    onChoice("stride", String(stride), (value) => desk.set({ stride: Number(value) }));
  }

  draw() {
    this.rate.tick();
  }

  /** @param {Desk} desk */
  update({ head, loop }) {
    if (!head) return;
    if (!head.running && !head.replaying) this.rate.reset();
    const goes = head.running || loop.stepping;
    for (const run of this.buttons) {
      setIcon(run, goes ? "pause" : "run");
      setLabel(run, goes ? "Pause" : "Run");
    }
    setAttribute(document.body, "data-running", String(head.running));
    setText(block("steps"), String(head.step));
    setText(block("fps"), this.rate.text);
  }
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

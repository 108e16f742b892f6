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
    onChoice("speed", (value) => desk.set({ limit: value === "max" ? Infinity : Number(value) }));
    onChoice("stride", (value) => desk.set({ stride: Number(value) }));
  }

  draw() {
    this.rate.tick();
  }

  /** @param {Desk} desk */
  update({ head }) {
    if (!head) return;
    if (!head.running && !head.replaying) this.rate.reset();
    for (const run of this.buttons) {
      setIcon(run, head.running ? "pause" : "run");
      setLabel(run, head.running ? "Pause" : "Run");
    }
    setAttribute(document.body, "data-running", String(head.running));
    setText(block("steps"), String(head.step));
    setText(block("fps"), this.rate.text);
  }
}

/**
 * @param {string} id
 * @param {(value: string) => void} choose
 */
function onChoice(id, choose) {
  const select = find(id, HTMLSelectElement);
  select.addEventListener("change", () => choose(select.value));
  choose(select.value);
}

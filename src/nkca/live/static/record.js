// The button that records the grid, and the download links.

import { ask } from "./ask.js";
import { button, find, setAttribute, setLabel } from "./dom.js";

/** @typedef {import("./store.js").Store} Store */

const KINDS = /** @type {const} */ (["gif", "mp4"]);
const DROPS = "The last recording was not downloaded. A new one replaces it at once, even if it stays empty.";

export class Recorder {
  #downloaded = false;

  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    this.button = button("record");
    this.button.addEventListener("click", () => this.#toggle());
    for (const kind of KINDS) linkTo(kind).addEventListener("click", () => (this.#downloaded = true));
  }

  /** @param {Store} store */
  update({ head, about }) {
    const recording = head?.recording ?? null;
    const on = recording?.on ?? false;
    if (on) this.#downloaded = false;
    const done = recording !== null && !on && recording.frames > 0;
    setAttribute(this.button, "aria-pressed", String(on));
    setLabel(this.button, on ? `Stop (${recording?.frames})` : "Record");
    for (const kind of KINDS) linkTo(kind).hidden = !(done && about[kind]);
  }

  async #toggle() {
    const { on, frames } = this.store.head?.recording ?? { on: false, frames: 0 };
    const loses = !on && frames > 0 && !this.#downloaded;
    if (loses && !(await ask(DROPS, "Record", "Keep the last"))) return;
    this.store.send({ do: "record", on: !on });
  }
}

/** @param {"gif" | "mp4"} kind */
function linkTo(kind) {
  return find(`recording-${kind}`, HTMLAnchorElement);
}

// Recording what the grid shows.

import { button, find, setAttribute, setLabel } from "./dom.js";

/** @typedef {import("./desk.js").Desk} Desk */

export class Recorder {
  /** @param {Desk} desk */
  constructor(desk) {
    this.button = button("record");
    this.button.addEventListener("click", () => desk.send({ do: "record", on: !desk.head?.recording?.on }));
  }

  /** @param {Desk} desk */
  update({ head, about }) {
    const recording = head?.recording ?? null;
    const on = recording?.on ?? false;
    const done = recording !== null && !on && recording.frames > 0;
    setAttribute(this.button, "aria-pressed", String(on));
    setLabel(this.button, on ? `Stop (${recording?.frames})` : "Record");
    find("recording-gif", HTMLAnchorElement).hidden = !(done && about.gif);
    find("recording-mp4", HTMLAnchorElement).hidden = !(done && about.mp4);
  }
}

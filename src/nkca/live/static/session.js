// Opening a saved session, and watching it being repeated.

import { loadSession, ServerError } from "./api.js";
import { ask } from "./ask.js";
import { block, button, find, input, setText } from "./dom.js";
import { notice, toast } from "./messages.js";

/** @typedef {import("./desk.js").Desk} Desk */

const REPLACES = "This replaces the present chains; they are saved as a file that the command names when it ends.";

export class Session {
  #notice = "";

  /** @param {Desk} desk */
  constructor(desk) {
    const chooser = input("session-load");
    chooser.addEventListener("change", () => {
      const file = chooser.files?.[0];
      if (file) openSession(desk, file);
      chooser.value = "";
    });
    button("replay-stop").addEventListener("click", () => desk.send({ do: "stop" }));
  }

  /** @param {import("./types.js").Head} head */
  hear(head) {
    const told = head.notice ?? "";
    if (told && told !== this.#notice) notice(told);
    this.#notice = told;
  }

  /** @param {Desk} desk */
  update({ head }) {
    const replaying = head?.replaying ?? null;
    block("replay").hidden = replaying === null;
    block("hint").hidden = replaying !== null;
    if (!replaying) return;
    const progress = find("replay-progress", HTMLProgressElement);
    progress.max = Math.max(1, replaying.total);
    progress.value = replaying.done;
    setText(block("replay-count"), `${replaying.done} of ${replaying.total}`);
  }
}

/**
 * @param {Desk} desk
 * @param {File} file
 */
export async function openSession(desk, file) {
  if (file.size > (desk.about.max_session_bytes ?? Infinity)) return toast("This file is too large.");
  const anything = desk.head?.step || desk.head?.can_undo;
  if (anything && !(await ask(REPLACES, "Open session", "Stay here"))) return;
  desk.opening = true;
  try {
    const { warning } = await loadSession(file);
    if (warning) notice(warning);
    desk.loop.refresh();
  } catch (error) {
    desk.opening = false;
    if (!(error instanceof ServerError)) throw error;
    toast(error.message);
  }
}

// Opening a saved session, and the progress of its replay.

import { loadSession, ServerError } from "./api.js";
import { ask } from "./ask.js";
import { block, button, find, input, setText } from "./dom.js";
import { notice, toast } from "./messages.js";

/** @typedef {import("./store.js").Store} Store */

const REPLACES = "This replaces the present chains. Their session is saved to a file that the command names when it ends.";

export class Session {
  #notice = "";

  /** @param {Store} store */
  constructor(store) {
    const chooser = input("session-load");
    chooser.addEventListener("change", () => {
      const file = chooser.files?.[0];
      if (file) openSession(store, file);
      chooser.value = "";
    });
    button("replay-stop").addEventListener("click", () => store.send({ do: "stop" }));
  }

  /** @param {import("./types.js").Head} head */
  receive(head) {
    const message = head.notice ?? "";
    if (message && message !== this.#notice) notice(message);
    this.#notice = message;
  }

  /** @param {Store} store */
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
 * @param {Store} store
 * @param {File} file
 */
export async function openSession(store, file) {
  if (file.size > (store.about.max_session_bytes ?? Infinity)) return toast("This file is too large for the page: start nkca-interactive with --session=FILE.");
  const started = store.head?.step || store.head?.can_undo;
  if (started && !(await ask(REPLACES, "Open session", "Stay here"))) return;
  store.opening = true;
  try {
    const { warning } = await loadSession(file);
    if (warning) notice(warning);
    store.loop.refresh();
  } catch (error) {
    store.opening = false;
    if (!(error instanceof ServerError)) throw error;
    toast(error.message);
  }
}

// Opening a saved session, and watching it being repeated.

import { loadSession, ServerError } from "./api.js";
import { block, button, find, input, setText } from "./dom.js";
import { toast } from "./messages.js";

/** @typedef {import("./desk.js").Desk} Desk */

export class Session {
  /** @param {Desk} desk */
  constructor(desk) {
    const chooser = input("session-load");
    chooser.addEventListener("change", () => {
      const file = chooser.files?.[0];
      if (file) open(desk, file);
      chooser.value = "";
    });
    button("replay-stop").addEventListener("click", () => desk.send({ do: "stop" }));
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
async function open(desk, file) {
  if (file.size > desk.about.max_upload_bytes) return toast("This file is too large.");
  try {
    const { warning } = await loadSession(file);
    if (warning) toast(warning);
    desk.loop.refresh();
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    toast(error.message);
  }
}

// Opening a saved session, and the progress of its replay.

import { loadSession, savedSessions, ServerError } from "./api.js";
import { ask } from "./ask.js";
import { block, button, dialog, find, input, make, setText } from "./dom.js";
import { notice, toast } from "./messages.js";

/** @typedef {import("./store.js").Store} Store */

const REPLACES = "This replaces the present chains. Their session is saved, and listed here.";
const BIG = "This file is too large for the page: start nkca-interactive with --session=FILE.";

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
    button("sessions").addEventListener("click", () => showSaved(store));
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

/** @param {Store} store */
async function showSaved(store) {
  const list = block("saved");
  list.replaceChildren();
  dialog("sessions-dialog").showModal();
  const saved = await savedSessions().catch(() => []);
  list.replaceChildren(...saved.map(({ number, changed, kept }) => {
    const time = new Date(changed * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    const open = make("button", { type: "button", class: "wide" }, `${time}, ${kept} kept`);
    open.addEventListener("click", () => openSession(store, number));
    return make("li", {}, open);
  }));
}

/**
 * @param {Store} store
 * @param {File | number} session a file, or the number of a saved session
 */
export async function openSession(store, session) {
  dialog("sessions-dialog").close();
  if (typeof session !== "number" && session.size > (store.about.max_session_bytes ?? Infinity)) return toast(BIG);
  const started = store.head?.step || store.head?.can_undo;
  if (started && !(await ask(REPLACES, "Open session", "Stay here"))) return;
  store.opening = true;
  try {
    const { warning } = await load(session);
    if (warning) notice(warning);
    store.loop.refresh();
  } catch (error) {
    store.opening = false;
    if (!(error instanceof ServerError)) throw error;
    toast(error.message);
  }
}

/** @param {File | number} session */
async function load(session) {
  try {
    return await loadSession(session, false);
  } catch (error) {
    if (!(error instanceof ServerError) || error.status !== 409) throw error;
    if (await ask(`${error.message}. Open it all the same? It takes more memory and time.`, "Open session", "Stay here")) return loadSession(session, true);
    throw new ServerError(0, "The session was not opened.");
  }
}

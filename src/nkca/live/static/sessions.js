// The dialog of saved sessions; opening one of them, or a file.

import { Button, FileInput, Icon } from "./controls.js";
import { closeDialog, Dialog } from "./dialog.js";
import { ServerError } from "./loop.js";
import { html, useEffect, useState } from "./preact.js";
import { posted, request } from "./store.js";

/** @import { Commands } from "./commands.js" */

const REPLACES = "This replaces the present chains. Their session is saved, and listed here.";
const BIG = "This file is too large for the page: start nkca-interactive with --session=FILE.";
const STAY = "Stay here";

/** @param {{commands: Commands, closed: () => void}} props */
export default function Sessions({ commands, closed }) {
  const [saved, setSaved] = useState(/** @type {{number: number, changed: number, kept: number}[]} */ ([]));
  useEffect(() => {
    request("/api/sessions", {}, (response) => response.json()).then(setSaved, () => {});
  }, []);
  return html`<${Dialog} id="sessions-dialog" label="sessions-title" closed=${closed} head=${html`<h2 id="sessions-title">Open a session</h2>`}>
    <p class="muted">Sessions of this model in which pictures were kept, the newest first:</p>
    <ol id="saved">${saved.map(({ number, changed, kept }) => {
      const time = new Date(changed * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
      return html`<li key=${number}><${Button} label=${`${time}, ${kept} kept`} run=${() => openSession(commands, number)} /></li>`;
    })}</ol>
    <label class="button"><${Icon} name="open" />From a file
      <${FileInput} id="session-load" accept=".json,application/json" label="Open a session file" take=${(/** @type {File[]} */ [file]) => file && openSession(commands, file)} /></label>
  <//>`;
}

/**
 * @param {Commands} commands
 * @param {File | number} session a file, or the number of a saved session
 */
export async function openSession({ store, front }, session) {
  closeDialog("sessions-dialog");
  if (typeof session !== "number" && session.size > store.about.max_session_bytes) return front.toast(BIG);
  const started = store.now("step") || store.now("can_undo");
  if (started && !(await front.ask(REPLACES, "Open session", STAY))) return;
  store.opening = true;
  try {
    const warning = await load(session, front);
    if (warning) front.notice(warning);
    store.loop.refresh();
  } catch (error) {
    store.opening = false;
    if (!(error instanceof ServerError)) throw error;
    front.toast(error.message);
  }
}

/**
 * @param {File | number} session
 * @param {import("./app.js").Front} front
 * @returns {Promise<string | null>} a warning
 */
async function load(session, front) {
  const saved = typeof session === "number";
  /** @param {string} query */
  const post = async (query) => {
    const path = saved ? `/api/sessions/${session}` : "/api/session";
    return (await request(path + query, posted(saved ? "{}" : session, "application/json"), (response) => response.json())).warning;
  };
  try {
    return await post("");
  } catch (error) {
    if (!(error instanceof ServerError) || error.status !== 409) throw error;
    if (await front.ask(`${error.message}. Open it all the same? It takes more memory and time.`, "Open session", STAY)) return post("?more=1");
    throw new ServerError(0, "The session was not opened.");
  }
}

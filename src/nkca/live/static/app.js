// Builds the page from its parts.

import { about, keptPicture, ServerError } from "./api.js";
import { startAsk } from "./ask.js";
import { Commands } from "./commands.js";
import { Store } from "./store.js";
import { startDialogs } from "./dialogs.js";
import { Filmstrip } from "./filmstrip.js";
import { startFocus } from "./focus.js";
import { Grid } from "./grid.js";
import { startHelp } from "./help.js";
import { Hint } from "./hint.js";
import { startFrom, startImages } from "./images.js";
import { startKeys } from "./keys.js";
import { LevelSlider } from "./level.js";
import { Viewer } from "./viewer.js";
import { banner, carryNotices, notice, showCarriedNotices, toast } from "./messages.js";
import { PaintDialog } from "./paint_dialog.js";
import { annealSteps, Panel, seed } from "./panel.js";
import { Recorder } from "./record.js";
import { Running } from "./running.js";
import { Session } from "./session.js";
import { Shelf } from "./shelf.js";
import { Plot } from "./plot.js";
import { startTheme } from "./theme.js";
import { Thumbnails } from "./thumbnails.js";
import { Zoom } from "./zoom.js";

const RETRY_MS = 2000;
const REPLACED = "Another session has replaced the one shown here. If pictures were kept, Open session lists the old one.";
const ERRORS = new Map([
  [0, "The server does not respond. This page continues automatically when it does."],
  [401, "This page no longer has access. Open the address with the token again."],
  [503, "The server is busy. Retrying."],
]);

startTheme();
showCarriedNotices();
start();

async function start() {
  const facts = await fetchFacts();
  const store = new Store(facts, {
    refused: toast,
    failed: notice,
    lost: showLost,
    renewed: () => reloadIfChanged(facts),
    replaced: () => notice(REPLACED),
  });
  expose(store);
  assemble(store);
  document.addEventListener("visibilitychange", () => document.hidden || reloadIfChanged(facts));
  store.loop.start().catch((error) => {
    banner("An error occurred in this page. Please reload it.");
    throw error;
  });
}

async function fetchFacts() {
  for (;;) {
    try {
      const facts = await about();
      banner(null);
      return facts;
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      showLost(error);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

/** @param {Store} store */
function assemble(store) {
  const commands = new Commands(store, { seed, annealSteps, paint: (tile) => paintDialog.open(tile), zoom: () => zoom.open() });
  const grid = new Grid(store, commands);
  const paintDialog = new PaintDialog(store, commands, grid);
  const zoom = new Zoom(store, commands, grid);
  store.enlarged = () => paintDialog.tile ?? zoom.tile;
  const viewer = new Viewer({
    items: () => store.lists.shelf.items,
    address: (id) => keptPicture(id, store.session),
    move: (id, way) => shelf.move(id, way),
    remove: (kept) => commands.remove(kept),
    start: (address) => startFrom(store, address),
  });
  const thumbnails = new Thumbnails(() => store.loop.pending.length > 0);
  const shelf = new Shelf(store, commands, viewer, thumbnails);
  const sliders = ["level", "paint-level"].map((id) => new LevelSlider(id, store, commands));
  store.subscribe(grid, zoom, paintDialog, shelf, ...sliders, new Plot(), new Running(store, commands), new Panel(store, commands));
  store.subscribe(new Hint(), new Filmstrip(store, thumbnails), new Recorder(store), new Session(store), thumbnails);
  startImages(store);
  startKeys(commands);
  startFocus();
  startHelp(store.about);
  startDialogs();
  startAsk();
}

/** @param {ServerError | null} error */
function showLost(error) {
  banner(error && (ERRORS.get(error.status) ?? error.message));
}

/**
 * Reload the page if the server now has another model or other settings.
 *
 * @param {import("./types.js").About} facts when the page was loaded
 */
async function reloadIfChanged(facts) {
  const now = await about().catch(() => facts);
  if (JSON.stringify(now) === JSON.stringify(facts)) return;
  carryNotices();
  location.reload();
}

/** @param {Store} store */
function expose(store) {
  document.title = `nkca: ${store.about.checkpoint}`;
  const view = {
    get state() {
      return store.state;
    },
    get onScreen() {
      return store.onScreen;
    },
  };
  Object.defineProperty(window, "nkca", { value: Object.freeze(view) });
}

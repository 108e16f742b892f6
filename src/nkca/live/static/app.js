// Puts the page together.

import { about, keptPicture, ServerError } from "./api.js";
import { startAsk } from "./ask.js";
import { Commands } from "./commands.js";
import { Desk } from "./desk.js";
import { startDialogs } from "./dialogs.js";
import { Filmstrip } from "./filmstrip.js";
import { startFocus } from "./focus.js";
import { Grid } from "./grid.js";
import { startHelp } from "./help.js";
import { Hint } from "./hint.js";
import { startFrom, startImages } from "./images.js";
import { startKeys } from "./keys.js";
import { LevelSlider } from "./level.js";
import { Look } from "./look.js";
import { banner, carryNotices, notice, showCarriedNotices, toast } from "./messages.js";
import { Painter } from "./painter.js";
import { annealSteps, Panel, seed } from "./panel.js";
import { Recorder } from "./record.js";
import { Running } from "./running.js";
import { Session } from "./session.js";
import { Shelf } from "./shelf.js";
import { Strip } from "./strip.js";
import { startTheme } from "./theme.js";
import { Thumbnails } from "./thumbnails.js";

const RETRY_MS = 2000;
const REPLACED = "This is another session than before. What was kept is in a file that the command names when it ends.";
const TROUBLE = new Map([
  [0, "The server is gone. This page goes on by itself when it is back."],
  [401, "This page has no access any more. Open the address with the token again."],
  [503, "The server is busy. Trying again."],
]);

startTheme();
showCarriedNotices();
start();

async function start() {
  const facts = await askUntilAnswered();
  const desk = new Desk(facts, {
    refused: toast,
    failed: notice,
    lost: tellLost,
    renewed: () => reloadIfChanged(facts),
    replaced: () => notice(REPLACED),
  });
  expose(desk);
  assemble(desk);
  document.addEventListener("visibilitychange", () => document.hidden || reloadIfChanged(facts));
  desk.loop.start().catch((error) => {
    banner("Something in this page failed. Please load it again.");
    throw error;
  });
}

async function askUntilAnswered() {
  for (;;) {
    try {
      const facts = await about();
      banner(null);
      return facts;
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      tellLost(error);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

/** @param {Desk} desk */
function assemble(desk) {
  const commands = new Commands(desk, { seed, annealSteps, paint: (tile) => painter.open(tile) });
  const grid = new Grid(desk, commands);
  const painter = new Painter(desk, commands, grid);
  const look = new Look({
    items: () => desk.lists.shelf.items,
    address: (id) => keptPicture(id, desk.session),
    move: (id, way) => shelf.move(id, way),
    remove: (kept) => commands.remove(kept),
    start: (address) => startFrom(desk, address),
  });
  const thumbnails = new Thumbnails(() => desk.loop.pending.length > 0);
  const shelf = new Shelf(desk, commands, look, thumbnails);
  const sliders = ["level", "paint-level"].map((id) => new LevelSlider(id, desk, commands));
  desk.show(grid, painter, shelf, ...sliders, new Strip(), new Running(desk, commands), new Panel(desk, commands));
  desk.show(new Hint(), new Filmstrip(desk, thumbnails), new Recorder(desk), new Session(desk), thumbnails);
  startImages(desk);
  startKeys(commands);
  startFocus();
  startHelp(desk.about);
  startDialogs();
  startAsk();
}

/** @param {ServerError | null} error */
function tellLost(error) {
  banner(error && (TROUBLE.get(error.status) ?? error.message));
}

/**
 * Another model needs another page.
 *
 * @param {import("./types.js").About} facts as they were
 */
async function reloadIfChanged(facts) {
  const now = await about().catch(() => facts);
  if (JSON.stringify(now) === JSON.stringify(facts)) return;
  carryNotices();
  location.reload();
}

/** @param {Desk} desk */
function expose(desk) {
  document.title = `nkca: ${desk.about.checkpoint}`;
  const view = {
    get state() {
      return desk.state;
    },
    get onScreen() {
      return desk.onScreen;
    },
  };
  Object.defineProperty(window, "nkca", { value: Object.freeze(view) });
}

// What buttons and keys do: the commands, what each event changes at once, and the keyboard shortcuts.

/** @import { ChainEvent, Head } from "./types.js" */

/** What the tiles show. */
export const MODES = /** @type {const} */ ([
  ["finished", "Finished", "Where each chain would end if it went down from here (V)"],
  ["z", "Clean", "The model's prediction of the clean picture (V)"],
  ["x", "Noisy", "The noisy state of the chain (V)"],
  ["both", "Both", "Noisy left, clean right (V)"],
]);
const MAX_NEW_SEED = 1_000_000;

export class Commands {
  annealSteps = 100;
  /** @type {number | null} */
  before = null; // the tile that was picked before this one
  /** @type {number | null} */
  seed = null; // null: that of the present chains

  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.store = store;
    this.front = store.front;
  }

  toggleRun() {
    const { loop, stepping } = this.store;
    const active = this.store.now("running") || stepping.value;
    if (active) loop.dropSteps();
    this.#send(active ? "Paused" : "Running", { do: active ? "pause" : "run" });
  }

  /** @param {boolean} [repeated] the key is held: request no step before the last one is shown */
  step(repeated = false) {
    if (repeated && this.store.loop.pending.some((event) => event.do === "step")) return;
    const one = /** @type {const} */ ({ do: "step", times: 1, only: this.store.only });
    if (this.store.now("running")) this.store.send({ do: "pause" }, one);
    else this.store.send(one);
  }

  /** @param {number} level */
  setLevel(level) {
    const rounded = Math.round(level * 100) / 100;
    this.store.send({ do: "level", level: Math.min(1, Math.max(this.store.about.min_level, rounded)) });
  }

  /** @param {number} hundredths */
  nudgeLevel(hundredths) {
    this.setLevel((Math.round(this.store.now("level") * 100) + hundredths) / 100);
    this.front.say(`Noise level ${this.store.now("level").toFixed(2)}`);
  }

  /** @param {number} level where the chains go on */
  walkAt(level) {
    this.setLevel(level);
    this.#send(`Running at level ${level}`, { do: "run" });
  }

  anneal() {
    const steps = this.annealSteps;
    const time = this.store.timeOf(steps);
    this.#send(`Annealing in ${steps} steps${time && `, about ${time}`}`, { do: "anneal", steps });
  }

  /** @param {number | null} tile */
  pick(tile) {
    if (tile !== null && tile >= this.store.about.batch) return;
    if (!this.isPicked(tile)) this.before = this.store.now("picked") ?? this.before;
    this.#send(tile === null ? "No tile picked" : `Tile ${tile + 1} picked`, { do: "select", tile });
  }

  /**
   * What a click on a tile means: a choice, the second tile of a mixture, or the pick.
   *
   * @param {number} tile
   */
  take(tile) {
    const { mixing } = this.store;
    if (mixing.value !== null) this.#mix(mixing.value, tile);
    else if (this.store.choosing) this.choose(tile);
    else this.pick(tile);
  }

  /** @param {number | null} [tile] the current one, or the one that is taken */
  choose(tile = this.#picked()) {
    if (tile === null || this.store.loop.pending.some((event) => event.do === "choose")) return;
    const milliseconds = this.store.choosing ? this.store.looked : null;
    const said = this.store.choosing ? `Tile ${tile + 1} chosen` : "Choose the picture that you like best";
    this.#send(said, { do: "choose", tile, seen: this.store.onScreen, milliseconds });
  }

  fan(tile = this.#picked()) {
    if (tile !== null) this.#send(`Fan of tile ${tile + 1}`, { do: "fan", tile, seen: this.store.onScreen });
  }

  startMix(tile = this.#picked()) {
    if (tile === null) return;
    this.store.mixing.value = tile;
    this.front.say(`Click the tile to mix with tile ${tile + 1}`);
  }

  /**
   * @param {number} tile
   * @param {number} other
   */
  #mix(tile, other) {
    this.store.mixing.value = null;
    if (tile !== other) this.#send(`Tiles ${tile + 1} and ${other + 1} mixed`, { do: "mix", tile, other });
  }

  /** @param {boolean} [rest] all other tiles */
  discard(rest = false) {
    const tile = this.#picked();
    if (tile !== null) this.#send(rest ? "The other tiles start again" : `Tile ${tile + 1} starts again`, { do: "discard", tile, rest, source: null });
  }

  /** Leave the choice or the mixture, or pick no tile. */
  escape() {
    if (this.store.mixing.value !== null) this.store.mixing.value = null;
    else if (this.store.choosing) this.store.left.value = this.store.now("version");
    else if (this.store.now("picked") !== null) this.pick(null);
  }

  /** @param {number | null} tile */
  isPicked(tile) {
    return this.store.now("picked") === tile;
  }

  /** @param {number} way */
  movePick(way) {
    const { batch } = this.store.about;
    this.pick(((this.store.now("picked") ?? (way > 0 ? -1 : batch)) + way + batch) % batch);
  }

  /** @param {number} rows down, or up if negative */
  moveRow(rows) {
    const to = (this.store.now("picked") ?? 0) + rows * this.store.columns.value;
    if (to >= 0 && to < this.store.about.batch) this.pick(to);
  }

  /** @param {number | null} [tile] */
  spread(tile = this.#picked()) {
    if (tile === null) return;
    if (!this.isPicked(tile)) this.pick(tile);
    this.#send(`Spread from tile ${tile + 1}`, { do: "spread", tile, seen: this.store.onScreen });
  }

  /** @param {number | null} [tile] */
  keep(tile = this.#picked()) {
    if (tile !== null) this.#send(`Kept tile ${tile + 1}`, { do: "keep", tile, seen: this.store.onScreen, finished: this.store.showsFinished });
  }

  /** @param {number | null} side of the blocks whose means all tiles have in common with the picked one; 0: grey values; null: nothing */
  hold(side) {
    const tile = side === null ? null : this.#picked();
    if (side !== null && tile === null) return;
    const what = side ? `blocks of ${side} pixels` : side === null ? "nothing" : "grey values";
    this.#send(`Holding ${what}`, { do: "hold", tile, side: side ?? 0, seen: this.store.onScreen, finished: this.store.showsFinished });
  }

  toggleLock() {
    const tile = this.#picked();
    if (tile === null) return;
    const locked = !this.store.now("locked").includes(tile);
    this.#send(`Tile ${tile + 1} ${locked ? "locked" : "unlocked"}`, { do: "lock", tile, locked, seen: this.store.onScreen });
  }

  /** @param {number | null} [tile] @param {import("./mask.js").Mask} [mask] drawn before */
  paint(tile = this.#picked(), mask) {
    if (tile !== null) this.front.open(import("./paint.js"), { commands: this, tile, mask }, () => tile);
  }

  colour(tile = this.#picked()) {
    if (tile !== null) this.front.open(import("./colour.js"), { commands: this, tile }, () => tile);
  }

  /** @param {number | null} [tile] */
  zoom(tile = this.#picked()) {
    if (tile === null) return;
    if (!this.isPicked(tile)) this.pick(tile);
    this.front.open(import("./zoom.js"), { commands: this }, () => this.store.now("picked"));
  }

  /**
   * Open a session file, or start tiles from pictures.
   *
   * @param {File[]} files
   * @param {number | null} [tile] where they were dropped
   */
  async openFiles(files, tile = null) {
    const images = files.length ? await this.front.loaded(import("./images.js")) : null;
    images?.openFiles(this, files, tile);
  }

  judge() {
    if (this.store.about.real) this.front.open(import("./judge.js"), { commands: this });
  }

  /** @param {"kiosk" | "slides"} kind */
  show(kind) {
    this.front.open(import("./show.js"), { commands: this, kind });
  }

  /** @param {string} address of a kept picture @param {number | null} [tile] where it was dropped */
  async startFrom(address, tile = this.store.now("picked")) {
    (await this.front.loaded(import("./images.js")))?.startFrom(this, address, tile);
  }

  help() {
    this.front.open(import("./help.js"), { commands: this });
  }

  /**
   * @param {"noise" | "images"} source
   * @param {number} [seed]
   */
  restart(source, seed = this.seed ?? this.store.now("seed")) {
    if (source === "images" && !this.store.about.images) return;
    this.#send(`Restarted from ${source}`, { do: "restart", source, seed });
  }

  restartWithNewSeed() {
    this.restart("noise", Math.floor(Math.random() * MAX_NEW_SEED));
  }

  undo() {
    if (this.store.now("can_undo")) this.store.send({ do: "undo" });
  }

  redo() {
    if (this.store.now("can_redo")) this.store.send({ do: "redo" });
  }

  cycleShow() {
    const shown = MODES.findIndex(([mode]) => mode === this.store.settings.value.show);
    this.store.set({ show: MODES[(shown + 1) % MODES.length][0] });
  }

  toggleMarks() {
    this.store.set({ marks: !this.store.settings.value.marks });
  }

  /** @param {number} item */
  restore(item) {
    this.#send("Put back on the shelf", { do: "restore", item });
  }

  /** @param {string} text announced when the server has applied the event @param {ChainEvent} event */
  async #send(text, event) {
    if (await this.store.send(event)) this.front.say(text);
  }

  #picked() {
    const picked = this.store.now("picked");
    if (picked === null) this.front.toast("Pick a tile first: click it, or press its number.");
    return picked;
  }
}

/**
 * The shortcuts: how the help shows a key, what it does, and what it runs.
 *
 * @param {Commands} commands
 * @returns {[string, string, Record<string, (repeated: boolean) => void>][]}
 */
export const shortcuts = (commands) => [
  ["Space", "run or pause", { " ": () => commands.toggleRun() }],
  [".", "one step", { ".": (repeated) => commands.step(repeated) }],
  ["+ −", "noise level by 0.01", { "+": () => commands.nudgeLevel(1), "=": () => commands.nudgeLevel(1), "-": () => commands.nudgeLevel(-1) }],
  ["↑ ↓", "the same, or on a tile a row up or down", { arrowup: () => commands.nudgeLevel(1), arrowdown: () => commands.nudgeLevel(-1) }],
  ["← →", "move the pick", { arrowleft: () => commands.movePick(-1), arrowright: () => commands.movePick(1) }],
  ["1 … 9, 0", "pick tile 1 to 10; with Shift 11 to 20", {}],
  ["Esc", "pick no tile; leave a choice; close a dialog", { escape: () => commands.escape() }],
  ["A", "anneal", { a: () => commands.anneal() }],
  ["S", "spread the picked tile", { s: () => commands.spread() }],
  ["K", "keep it", { k: () => commands.keep() }],
  ["C", "choose: among proposals made from it", { c: () => commands.choose() }],
  ["F", "fan: variants of it at rising levels", { f: () => commands.fan() }],
  ["M", "mix it with the tile that is clicked next", { m: () => commands.startMix() }],
  ["X", "start it again; with Shift all others", { x: () => commands.discard(), "shift+x": () => commands.discard(true) }],
  ["L", "lock or unlock it", { l: () => commands.toggleLock() }],
  ["P", "paint which of its pixels change", { p: () => commands.paint() }],
  ["B", "paint colours on it", { b: () => commands.colour() }],
  ["E", "enlarge it; then T, held, shows the tile picked before", { e: () => commands.zoom() }],
  ["J", "real or made? (with --real)", { j: () => commands.judge() }],
  ["W", "walk in full screen", { w: () => commands.show("kiosk") }],
  ["O", "start from an image file", { o: () => document.getElementById("open-image")?.click() }],
  ["R", "restart from noise; with Shift a new seed", { r: () => commands.restart("noise"), "shift+r": () => commands.restartWithNewSeed() }],
  ["I", "restart from the given images", { i: () => commands.restart("images") }],
  ["V", "show finished, clean, noisy or both", { v: () => commands.cycleShow() }],
  ["H", "hide or show the masks", { h: () => commands.toggleMarks() }],
  ["Z, Ctrl+Z", "undo", { z: () => commands.undo(), "ctrl+z": () => commands.undo() }],
  ["Y, Ctrl+Y, Ctrl+Shift+Z", "redo", { y: () => commands.redo(), "ctrl+y": () => commands.redo(), "shift+z": () => commands.redo(), "ctrl+shift+z": () => commands.redo() }],
  ["Alt+← →", "move a shelf picture that has the focus", {}],
  ["Delete", "remove a shelf picture that has the focus", {}],
  ["U", "use the level of a picture or moment that has the focus", {}],
  ["?", "this help", { "?": () => commands.help() }],
];

/**
 * Whether the event is of a shortcut of a single letter, digit or sign, and these are turned off.
 *
 * @param {Commands} commands
 * @param {KeyboardEvent} event
 */
export function isOff({ store }, { key, ctrlKey, metaKey }) {
  return key.length === 1 && key !== " " && !ctrlKey && !metaKey && !store.letters.value;
}

/**
 * The head as it will be once the pending events are applied.
 *
 * @param {Head} head
 * @param {readonly ChainEvent[]} events
 * @returns {Head}
 */
export function withPending(head, events) {
  return events.reduce((state, event) => ({ ...state, ...effect(state, event) }), head);
}

/** @param {Head} head @param {ChainEvent} event @returns {Partial<Head>} the fields that are known to change */
function effect({ locked }, event) {
  switch (event.do) {
    case "run":
      return { running: true };
    case "pause": case "undo": case "redo": case "jump":
      return { running: false };
    case "level":
      return { level: event.level, annealing: 0 };
    case "anneal":
      return { running: true, annealing: event.steps };
    case "select":
      return { picked: event.tile };
    case "lock":
      return { locked: [...locked.filter((tile) => tile !== event.tile), ...(event.locked ? [event.tile] : [])] };
    default:
      return {};
  }
}

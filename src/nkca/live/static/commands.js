// The commands of buttons and keys.

import { say, toast } from "./messages.js";

/** @typedef {import("./store.js").Store} Store */

const SHOWS = /** @type {const} */ (["z", "x", "both"]);
const MAX_NEW_SEED = 1_000_000;

export class Commands {
  /**
   * @param {Store} store
   * @param {{seed: () => number, annealSteps: () => number, paint: (tile: number) => void, zoom: () => void}} forms
   */
  constructor(store, forms) {
    this.store = store;
    this.forms = forms;
  }

  toggleRun() {
    const { head, loop } = this.store;
    const active = head?.running || loop.stepping;
    if (active) loop.dropSteps();
    this.#send(active ? "Paused" : "Running", { do: active ? "pause" : "run" });
  }

  /** @param {boolean} [repeated] the key is held: request no step before the last one is shown */
  step(repeated = false) {
    if (repeated && this.store.loop.pending.some((event) => event.do === "step")) return;
    const one = /** @type {const} */ ({ do: "step", times: 1, only: this.store.only });
    if (this.store.head?.running) this.store.send({ do: "pause" }, one);
    else this.store.send(one);
  }

  /** @param {number} level */
  setLevel(level) {
    const rounded = Math.round(level * 100) / 100;
    this.store.send({ do: "level", level: Math.min(1, Math.max(this.store.about.min_level, rounded)) });
  }

  /** @param {number} hundredths */
  nudgeLevel(hundredths) {
    const { head } = this.store;
    if (!head) return;
    this.setLevel((Math.round(head.level * 100) + hundredths) / 100);
    say(`Noise level ${this.store.head?.level.toFixed(2)}`);
  }

  anneal() {
    const steps = this.forms.annealSteps();
    this.#send(`Annealing in ${steps} steps`, { do: "anneal", steps });
  }

  /** @param {number | null} tile */
  pick(tile) {
    if (tile !== null && tile >= this.store.about.batch) return;
    this.#send(tile === null ? "No tile picked" : `Tile ${tile + 1} picked`, { do: "select", tile });
  }

  /** @param {number} tile */
  isPicked(tile) {
    return this.store.head?.picked === tile;
  }

  /** @param {number} tile */
  unpick(tile) {
    if (this.isPicked(tile)) this.pick(null);
  }

  /** @param {number} tile */
  togglePick(tile) {
    this.pick(this.isPicked(tile) ? null : tile);
  }

  /** @param {number} way */
  movePick(way) {
    const { batch } = this.store.about;
    const picked = this.store.head?.picked;
    const start = way > 0 ? -1 : batch;
    this.pick(((picked ?? start) + way + batch) % batch);
  }

  /** @param {number | null} [tile] */
  spread(tile = this.#picked()) {
    if (tile === null) return;
    if (!this.isPicked(tile)) this.pick(tile);
    this.#send(`Spread from tile ${tile + 1}`, { do: "spread", tile, seen: this.store.onScreen });
  }

  /** @param {number | null} [tile] */
  keep(tile = this.#picked()) {
    if (tile === null) return;
    this.#send(`Kept tile ${tile + 1}`, { do: "keep", tile, seen: this.store.onScreen });
  }

  toggleLock() {
    const tile = this.#picked();
    if (tile === null) return;
    const locked = !this.store.head?.locked.includes(tile);
    this.#send(`Tile ${tile + 1} ${locked ? "locked" : "unlocked"}`, { do: "lock", tile, locked, seen: this.store.onScreen });
  }

  paint() {
    const tile = this.#picked();
    if (tile !== null) this.forms.paint(tile);
  }

  /** @param {number | null} [tile] */
  zoom(tile = this.#picked()) {
    if (tile === null) return;
    if (!this.isPicked(tile)) this.pick(tile);
    this.forms.zoom();
  }

  /**
   * @param {"noise" | "images"} source
   * @param {number} [seed]
   */
  restart(source, seed = this.forms.seed()) {
    if (source === "images" && !this.store.about.images) return;
    this.#send(`Restarted from ${source}`, { do: "restart", source, seed });
  }

  restartWithNewSeed() {
    this.restart("noise", Math.floor(Math.random() * MAX_NEW_SEED));
  }

  undo() {
    if (this.store.head?.can_undo) this.store.send({ do: "undo" });
  }

  redo() {
    if (this.store.head?.can_redo) this.store.send({ do: "redo" });
  }

  cycleShow() {
    const next = (SHOWS.indexOf(this.store.settings.show) + 1) % SHOWS.length;
    this.store.set({ show: SHOWS[next] });
  }

  toggleMarks() {
    this.store.set({ marks: !this.store.settings.marks });
  }

  /** @param {import("./types.js").Kept} kept */
  async remove({ id, name }) {
    if (!(await this.store.send({ do: "remove", item: id }))) return;
    toast(`${name} removed from the shelf`, { label: "Put back", run: () => this.restore(id) });
  }

  /** @param {number} item */
  restore(item) {
    this.#send("Put back on the shelf", { do: "restore", item });
  }

  /**
   * @param {string} text announced when the server has applied the event
   * @param {import("./types.js").ChainEvent} event
   */
  async #send(text, event) {
    if (await this.store.send(event)) say(text);
  }

  #picked() {
    const picked = this.store.head?.picked ?? null;
    if (picked === null) toast("Pick a tile first: click it, or press its number.");
    return picked;
  }
}

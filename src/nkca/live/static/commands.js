// What a person can do, by button or key.

import { say, toast } from "./messages.js";

/** @typedef {import("./desk.js").Desk} Desk */

const SHOWS = /** @type {const} */ (["z", "x", "both"]);
const MAX_NEW_SEED = 1_000_000;

export class Commands {
  /**
   * @param {Desk} desk
   * @param {{seed: () => number, annealSteps: () => number, paint: (tile: number) => void}} forms
   */
  constructor(desk, forms) {
    this.desk = desk;
    this.forms = forms;
  }

  toggleRun() {
    const { head, loop } = this.desk;
    const goes = head?.running || loop.stepping;
    if (goes) loop.dropSteps();
    this.#send(goes ? "Paused" : "Running", { do: goes ? "pause" : "run" });
  }

  /** @param {boolean} [repeated] the key is held: no step is asked for before the last one has been shown */
  step(repeated = false) {
    if (repeated && this.desk.loop.pending.some((act) => act.do === "step")) return;
    const one = /** @type {const} */ ({ do: "step", times: 1 });
    if (this.desk.head?.running) this.desk.send({ do: "pause" }, one);
    else this.desk.send(one);
  }

  /** @param {number} level */
  setLevel(level) {
    const rounded = Math.round(level * 100) / 100;
    this.desk.send({ do: "level", level: Math.min(1, Math.max(this.desk.about.min_level, rounded)) });
  }

  /** @param {number} hundredths */
  nudgeLevel(hundredths) {
    const { head } = this.desk;
    if (!head) return;
    this.setLevel((Math.round(head.level * 100) + hundredths) / 100);
    say(`Noise level ${this.desk.head?.level.toFixed(2)}`);
  }

  anneal() {
    const steps = this.forms.annealSteps();
    this.#send(`Annealing in ${steps} steps`, { do: "anneal", steps });
  }

  /** @param {number | null} tile */
  pick(tile) {
    if (tile !== null && tile >= this.desk.about.batch) return;
    this.#send(tile === null ? "Nothing picked" : `Tile ${tile + 1} picked`, { do: "pick", tile });
  }

  /** @param {number} tile */
  isPicked(tile) {
    return this.desk.head?.picked === tile;
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
    const { batch } = this.desk.about;
    const picked = this.desk.head?.picked;
    const start = way > 0 ? -1 : batch;
    this.pick(((picked ?? start) + way + batch) % batch);
  }

  /** @param {number | null} [tile] */
  spread(tile = this.#picked()) {
    if (tile === null) return;
    if (!this.isPicked(tile)) this.pick(tile);
    this.#send(`Spread from tile ${tile + 1}`, { do: "spread", tile, seen: this.desk.onScreen });
  }

  /** @param {number | null} [tile] */
  keep(tile = this.#picked()) {
    if (tile === null) return;
    this.#send(`Kept tile ${tile + 1}`, { do: "keep", tile, seen: this.desk.onScreen });
  }

  toggleLock() {
    const tile = this.#picked();
    if (tile === null) return;
    const locked = !this.desk.head?.locked.includes(tile);
    this.#send(`Tile ${tile + 1} ${locked ? "locked" : "unlocked"}`, { do: "lock", tile, locked, seen: this.desk.onScreen });
  }

  paint() {
    const tile = this.#picked();
    if (tile !== null) this.forms.paint(tile);
  }

  /**
   * @param {"noise" | "images"} source
   * @param {number} [seed]
   */
  restart(source, seed = this.forms.seed()) {
    if (source === "images" && !this.desk.about.images) return;
    this.#send(`Started again from ${source}`, { do: "restart", source, seed });
  }

  restartAnew() {
    this.restart("noise", Math.floor(Math.random() * MAX_NEW_SEED));
  }

  undo() {
    if (this.desk.head?.can_undo) this.desk.send({ do: "undo" });
  }

  redo() {
    if (this.desk.head?.can_redo) this.desk.send({ do: "redo" });
  }

  cycleShow() {
    const next = (SHOWS.indexOf(this.desk.settings.show) + 1) % SHOWS.length;
    this.desk.set({ show: SHOWS[next] });
  }

  toggleMarks() {
    this.desk.set({ marks: !this.desk.settings.marks });
  }

  /** @param {import("./types.js").Kept} kept */
  async remove({ id, name }) {
    if (!(await this.desk.send({ do: "remove", item: id }))) return;
    toast(`${name} is off the shelf`, { label: "Put back", run: () => this.restore(id) });
  }

  /** @param {number} item */
  restore(item) {
    this.#send("Put back on the shelf", { do: "restore", item });
  }

  /**
   * @param {string} text what is said once it is done
   * @param {import("./types.js").Act} act
   */
  async #send(text, act) {
    if (await this.desk.send(act)) say(text);
  }

  #picked() {
    const picked = this.desk.head?.picked ?? null;
    if (picked === null) toast("Pick a picture first: click one, or press its number.");
    return picked;
  }
}

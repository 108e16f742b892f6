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
    const running = this.desk.head?.running;
    this.desk.send({ do: running ? "pause" : "run" });
    say(running ? "Paused" : "Running");
  }

  step() {
    const one = { do: "step", times: 1 };
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
    this.desk.send({ do: "anneal", steps });
    say(`Annealing in ${steps} steps`);
  }

  /** @param {number | null} tile */
  pick(tile) {
    if (tile !== null && tile >= this.desk.about.batch) return;
    this.desk.send({ do: "pick", tile });
    say(tile === null ? "Nothing picked" : `Tile ${tile + 1} picked`);
  }

  /** @param {number} tile */
  togglePick(tile) {
    this.pick(this.desk.head?.picked === tile ? null : tile);
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
    if (this.desk.head?.picked !== tile) this.pick(tile);
    this.desk.send({ do: "spread", tile, seen: this.desk.onScreen });
    say(`Spread from tile ${tile + 1}`);
  }

  /** @param {number | null} [tile] */
  keep(tile = this.#picked()) {
    if (tile === null) return;
    this.desk.send({ do: "keep", tile, seen: this.desk.onScreen });
    say(`Kept tile ${tile + 1}`);
  }

  toggleLock() {
    const tile = this.#picked();
    if (tile === null) return;
    const locked = !this.desk.head?.locked.includes(tile);
    this.desk.send({ do: "lock", tile, locked, seen: this.desk.onScreen });
    say(`Tile ${tile + 1} ${locked ? "locked" : "unlocked"}`);
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
    this.desk.send({ do: "restart", source, seed });
    say(`Started again from ${source}`);
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

  /** @param {number} item */
  remove(item) {
    this.desk.send({ do: "remove", item });
    const putBack = () => this.desk.send({ do: "restore", item });
    toast("Removed from the shelf", { label: "Put back", run: putBack });
  }

  #picked() {
    const picked = this.desk.head?.picked ?? null;
    if (picked === null) toast("Pick a picture first: click one, or press its number.");
    return picked;
  }
}

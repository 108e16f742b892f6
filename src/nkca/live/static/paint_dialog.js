// The paint dialog: choose which pixels of a tile change and which are held.

import { ask } from "./ask.js";
import { block, button, canvas, dialog, input, setAttribute, setText } from "./dom.js";
import { MaskEditor } from "./mask_editor.js";
import { isOff } from "./keys.js";
import { showFill } from "./level.js";
import { Mask } from "./mask.js";
import { maskSummary } from "./mask_summary.js";

/**
 * @typedef {import("./store.js").Store} Store
 * @typedef {import("./commands.js").Commands} Commands
 * @typedef {import("./grid.js").Grid} Grid
 */

const STRONG = 0.5;
const FAINT = 0.16;
const MAX_UNDO = 100;

export class PaintDialog {
  #dialog = dialog("paint-dialog");
  #size = input("brush-size");
  #tile = 0;
  /** @type {0 | 1} */
  #value = 1;
  /** @type {Mask[]} */
  #past = [];

  /**
   * @param {Store} store
   * @param {Commands} commands
   * @param {Grid} grid
   */
  constructor(store, commands, grid) {
    this.store = store;
    this.commands = commands;
    this.grid = grid;
    const { width, height } = grid.size;
    this.applied = new Mask(width, height);
    this.editor = new MaskEditor(grid.size, {
      tool: () => ({ size: this.#size.valueAsNumber, value: this.#value }),
      begin: () => this.#remember(),
      changed: () => this.#show(),
    });
    block("paint-stage").style.setProperty("--aspect", String(width / height));
    this.#size.max = String(Math.ceil(Math.max(width, height) / 2));
    this.#setSize(Math.max(1, Math.round(Math.max(width, height) / 8)));
    this.#connect();
  }

  /** @param {number} tile */
  open(tile) {
    this.#tile = tile;
    this.#past = [];
    const { width, height } = this.grid.size;
    const text = this.store.lists.masks.tiles[tile];
    this.applied = text === undefined ? new Mask(width, height) : Mask.parse(width, height, text);
    this.editor.mask = this.applied.copy();
    setText(block("paint-title"), `Paint tile ${tile + 1}`);
    this.#choose(1);
    this.#open();
  }

  #open() {
    if (!this.#dialog.open) this.#dialog.showModal();
    this.draw();
    this.#show();
  }

  draw() {
    if (!this.#dialog.open) return;
    this.grid.copyTo(this.#tile, canvas("paint-picture"));
  }

  /** The tile that it shows, if it is open. */
  get tile() {
    return this.#dialog.open ? this.#tile : null;
  }

  #connect() {
    button("brush").addEventListener("click", () => this.#choose(1));
    button("eraser").addEventListener("click", () => this.#choose(0));
    button("mask-undo").addEventListener("click", () => this.#undo());
    button("mask-clear").addEventListener("click", () => this.#edit((mask) => mask.clear()));
    button("mask-invert").addEventListener("click", () => this.#edit((mask) => mask.invert()));
    button("paint-apply").addEventListener("click", () => this.#apply());
    button("paint-cancel").addEventListener("click", () => this.#cancel());
    button("paint-done").addEventListener("click", () => this.#finish());
    this.#size.addEventListener("input", () => this.#setSize(this.#size.valueAsNumber));
    this.#dialog.addEventListener("keydown", (event) => this.#key(event));
    this.#dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.#cancel();
    });
    new ResizeObserver(() => this.editor.redrawCursor()).observe(block("paint-stage"));
  }

  #remember() {
    this.#past.push(this.editor.mask.copy());
    if (this.#past.length > MAX_UNDO) this.#past.shift();
  }

  #undo() {
    const mask = this.#past.pop();
    if (!mask) return;
    this.editor.mask = mask;
    this.#show();
  }

  /** @param {(mask: Mask) => void} change */
  #edit(change) {
    this.#remember();
    change(this.editor.mask);
    this.#show();
  }

  #show() {
    const saved = this.#saved;
    this.editor.opacity = saved ? FAINT : STRONG;
    this.editor.redraw();
    setText(block("paint-note"), maskSummary(this.editor.mask, saved));
  }

  get #saved() {
    return this.editor.mask.equals(this.applied);
  }

  /** @returns {Promise<boolean>} whether the mask is in use */
  async #apply() {
    if (this.#saved) return true;
    const mask = this.editor.mask.copy();
    const done = await this.store.send({ do: "paint", tile: this.#tile, mask: mask.toBase64(), seen: this.store.onScreen });
    if (done) this.applied = mask;
    this.#show();
    return done;
  }

  /** Close at once, and open again if the mask could not be applied. */
  async #finish() {
    const applied = this.#apply();
    this.#dialog.close();
    if (!(await applied)) this.#open();
  }

  async #cancel() {
    if (this.#saved || (await ask("Discard the strokes?", "Discard", "Keep painting"))) this.#dialog.close();
  }

  /** @param {0 | 1} value */
  #choose(value) {
    this.#value = value;
    setAttribute(button("brush"), "aria-pressed", String(value === 1));
    setAttribute(button("eraser"), "aria-pressed", String(value === 0));
  }

  /** @param {number} size */
  #setSize(size) {
    this.#size.value = String(size);
    setText(block("brush-size-value"), this.#size.value);
    showFill(this.#size);
    this.editor.redrawCursor();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const run = event.ctrlKey || event.metaKey ? this.#withCtrl(event) : this.#plain(event);
    if (event.defaultPrevented || event.altKey || !run) return;
    event.preventDefault();
    run();
  }

  /** @param {KeyboardEvent} event */
  #withCtrl(event) {
    return event.key.toLowerCase() === "z" && !event.shiftKey ? () => this.#undo() : undefined;
  }

  /** @param {KeyboardEvent} event */
  #plain(event) {
    if (isOff(event)) return undefined;
    const onControl = event.target instanceof Element && event.target.matches("button, input[type=checkbox]");
    if (event.key === " ") return onControl || event.repeat ? undefined : () => this.commands.toggleRun();
    const size = this.#size.valueAsNumber;
    /** @type {Record<string, () => void>} */
    const table = {
      b: () => this.#choose(1),
      e: () => this.#choose(0),
      z: () => this.#undo(),
      h: () => this.commands.toggleMarks(),
      "[": () => this.#setSize(size - 1),
      "-": () => this.#setSize(size - 1),
      "]": () => this.#setSize(size + 1),
      "+": () => this.#setSize(size + 1),
      escape: () => this.#cancel(),
    };
    return table[event.key.toLowerCase()];
  }
}

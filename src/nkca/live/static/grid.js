// The grid of tiles.

import { block, contextOf, resize } from "./dom.js";
import { fitTiles } from "./layout.js";
import { Mask } from "./mask.js";
import { Tile } from "./tile.js";

/**
 * @typedef {import("./store.js").Store} Store
 * @typedef {import("./commands.js").Commands} Commands
 */

const GAP = 8;
const CRAMPED_PX = 130; // smaller tiles have no room for quick buttons
const DOUBLE_CLICK_MS = 300;
const LONG_PRESS_MS = 500;

export class Grid {
  /**
   * @param {Store} store
   * @param {Commands} commands
   */
  constructor(store, commands) {
    const { batch, data_shape: [, height, width] } = store.about;
    this.size = { width, height };
    this.copies = 0;
    this.masks = "";
    /** @type {number | null} */
    this.picked = null;
    this.element = block("grid");
    this.tiles = Array.from({ length: batch }, (_, index) => new Tile(index));
    this.element.append(...this.tiles.map((tile) => tile.cell));
    for (const tile of this.tiles) connect(tile, commands);
    new ResizeObserver(() => this.#layOut()).observe(this.room);
    this.#widen(store.settings.show === "both" ? 2 : 1);
  }

  get room() {
    return /** @type {HTMLElement} */ (this.element.parentElement);
  }

  /**
   * Draw the clean picture of a tile, which is on the right if both are shown.
   *
   * @param {number} index
   * @param {HTMLCanvasElement} target
   */
  copyTo(index, target) {
    const { width, height } = this.size;
    resize(target, width, height);
    const pen = contextOf(target);
    pen.globalCompositeOperation = "copy";
    pen.drawImage(this.tiles[index].picture, (this.copies - 1) * width, 0, width, height, 0, 0, width, height);
  }

  /** @param {ImageBitmap} sprite */
  draw(sprite) {
    this.#widen(sprite.width / this.size.width);
    for (const tile of this.tiles) tile.draw(sprite, this.size.height);
  }

  /** @param {Store} store */
  update(store) {
    const { head } = store;
    if (!head) return;
    for (const tile of this.tiles) {
      tile.update({
        picked: head.picked === tile.index,
        locked: head.locked.includes(tile.index),
        masked: head.masked.includes(tile.index),
        reachable: (head.picked ?? 0) === tile.index,
      });
    }
    this.#focusPicked(head.picked);
    this.#showMasks(store.lists.masks, store.session);
  }

  /**
   * Move the focus with the pick.
   *
   * @param {number | null} picked
   */
  #focusPicked(picked) {
    if (picked === this.picked) return;
    this.picked = picked;
    const inside = this.element.contains(document.activeElement);
    if (inside && picked !== null) this.tiles[picked].face.focus();
  }

  /**
   * @param {import("./types.js").Masks} masks
   * @param {string} session
   */
  #showMasks({ version, tiles }, session) {
    const now = `${session} ${version} ${this.copies}`;
    if (now === this.masks) return;
    this.masks = now;
    const { width, height } = this.size;
    for (const tile of this.tiles) {
      const text = tiles[tile.index];
      tile.showMask(text === undefined ? null : Mask.parse(width, height, text), this.copies);
    }
  }

  /** @param {number} copies */
  #widen(copies) {
    if (copies === this.copies) return;
    this.copies = copies;
    this.#layOut();
  }

  #layOut() {
    const { width, height } = this.size;
    const tile = { width: width * this.copies, height };
    const room = { width: this.room.clientWidth - 2 * GAP, height: this.room.clientHeight - 2 * GAP };
    const fit = fitTiles(room, this.tiles.length, tile, GAP);
    this.element.style.setProperty("--columns", String(fit.columns));
    this.element.style.setProperty("--tile-width", `${fit.width}px`);
    this.element.style.setProperty("--tile-height", `${fit.height}px`);
    this.element.classList.toggle("tiny", fit.width < 84);
    this.element.classList.toggle("cramped", Math.min(fit.width, fit.height) < CRAMPED_PX);
  }
}

/**
 * @param {Tile} tile
 * @param {Commands} commands
 */
function connect(tile, commands) {
  let unpick = 0;
  let press = 0;
  let held = false;
  tile.face.addEventListener("pointerdown", ({ pointerType }) => {
    held = false;
    if (pointerType !== "touch") return;
    press = setTimeout(() => ((held = true), commands.zoom(tile.index)), LONG_PRESS_MS);
  });
  for (const end of ["pointerup", "pointercancel", "pointerleave"]) tile.face.addEventListener(end, () => clearTimeout(press));
  tile.face.addEventListener("click", ({ detail }) => {
    clearTimeout(unpick);
    if (held) return;
    if (detail === 2) commands.spread(tile.index);
    else if (detail === 1 && commands.isPicked(tile.index)) unpick = setTimeout(() => commands.unpick(tile.index), DOUBLE_CLICK_MS);
    else if (detail < 2) commands.togglePick(tile.index);
  });
  tile.zoom.addEventListener("click", () => commands.zoom(tile.index));
  tile.spread.addEventListener("click", () => commands.spread(tile.index));
  tile.keep.addEventListener("click", () => commands.keep(tile.index));
}

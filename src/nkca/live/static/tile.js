// One tile: a picture, its marks and three quick buttons.

import { contextOf, icon, make, resize, setAttribute } from "./dom.js";
import { drawHeld } from "./overlay.js";

/** @typedef {import("./mask.js").Mask} Mask */

export class Tile {
  /** @param {number} index */
  constructor(index) {
    this.index = index;
    this.picture = make("canvas");
    this.held = make("canvas", { class: "held", "aria-hidden": "true" });
    this.held.hidden = true;
    this.face = make("button", { type: "button", class: "tile", "data-tile": String(index), tabindex: "-1" }, this.picture);
    const marks = make("span", { class: "marks", "aria-hidden": "true" }, badge("lock"), badge("paint"));
    const number = make("span", { class: "number", "aria-hidden": "true" }, String(index + 1));
    this.zoom = quick("zoom", "Enlarge this tile");
    this.spread = quick("spread", "Spread from here: all others continue from this picture");
    this.keep = quick("keep", "Keep this picture on the shelf");
    const quicks = make("span", { class: "quicks" }, this.zoom, this.spread, this.keep);
    this.cell = make("div", { class: "cell" }, this.face, this.held, number, marks, quicks);
    this.pen = contextOf(this.picture, { willReadFrequently: true });
  }

  /**
   * @param {ImageBitmap} sprite
   * @param {number} height
   */
  draw(sprite, height) {
    resize(this.picture, sprite.width, height);
    this.pen.imageSmoothingEnabled = false;
    this.pen.globalCompositeOperation = "copy";
    this.pen.drawImage(sprite, 0, this.index * height, sprite.width, height, 0, 0, sprite.width, height);
  }

  /** @param {{picked: boolean, locked: boolean, masked: boolean, reachable: boolean}} looks */
  update({ picked, locked, masked, reachable }) {
    const words = [`Tile ${this.index + 1}`, locked && "locked", masked && "painted"];
    setAttribute(this.face, "aria-label", words.filter(Boolean).join(", "));
    setAttribute(this.face, "aria-pressed", String(picked));
    setAttribute(this.face, "tabindex", reachable ? "0" : "-1");
    this.cell.classList.toggle("picked", picked);
    this.cell.classList.toggle("locked", locked);
    this.cell.classList.toggle("masked", masked);
  }

  /**
   * @param {Mask | null} mask
   * @param {number} copies
   */
  showMask(mask, copies) {
    drawHeld(this.held, mask, copies);
  }
}

/** @param {string} name */
function badge(name) {
  return make("span", { class: `badge badge-${name}` }, icon(name));
}

/**
 * @param {string} name
 * @param {string} title
 */
function quick(name, title) {
  return make("button", { type: "button", class: "quick", tabindex: "-1", title, "aria-hidden": "true" }, icon(name));
}

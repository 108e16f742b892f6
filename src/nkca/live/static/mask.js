// A mask over a picture: one bit for each pixel, set where the picture may change.

import { bytesToBase64 } from "./api.js";

export class Mask {
  /**
   * @param {number} width
   * @param {number} height
   * @param {Uint8Array} [cells]
   */
  constructor(width, height, cells = new Uint8Array(width * height)) {
    this.width = width;
    this.height = height;
    this.cells = cells;
  }

  /**
   * @param {number} width
   * @param {number} height
   * @param {string} text row by row, the first pixel in the highest bit, base64
   */
  static parse(width, height, text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const cells = new Uint8Array(width * height);
    cells.forEach((_, i) => (cells[i] = (bytes[i >> 3] >> (7 - (i & 7))) & 1));
    return new Mask(width, height, cells);
  }

  toBase64() {
    const bytes = new Uint8Array(Math.ceil(this.cells.length / 8));
    this.cells.forEach((cell, i) => (bytes[i >> 3] |= cell << (7 - (i & 7))));
    return bytesToBase64(bytes);
  }

  copy() {
    return new Mask(this.width, this.height, this.cells.slice());
  }

  /** @param {Mask} other */
  equals(other) {
    return this.cells.every((cell, i) => cell === other.cells[i]);
  }

  get painted() {
    return this.cells.reduce((sum, cell) => sum + cell, 0);
  }

  /** Whether some pixels are held: not if none or all are painted. */
  get holds() {
    const { painted } = this;
    return painted > 0 && painted < this.cells.length;
  }

  clear() {
    this.cells.fill(0);
  }

  invert() {
    this.cells.forEach((cell, i) => (this.cells[i] = 1 - cell));
  }

  /**
   * Draw a line with a round brush.
   *
   * @param {{x: number, y: number}} from
   * @param {{x: number, y: number}} to
   * @param {number} size
   * @param {0 | 1} value
   */
  stroke(from, to, size, value) {
    const count = Math.max(1, Math.ceil(2 * Math.hypot(to.x - from.x, to.y - from.y)));
    for (let i = 0; i <= count; i++) {
      const part = i / count;
      this.dab({ x: from.x + (to.x - from.x) * part, y: from.y + (to.y - from.y) * part }, size, value);
    }
  }

  /**
   * @param {{x: number, y: number}} at
   * @param {number} size
   * @param {0 | 1} value
   */
  dab(at, size, value) {
    const radius = size / 2;
    this.#set(Math.floor(at.x), Math.floor(at.y), value);
    for (let y = Math.floor(at.y - radius); y <= at.y + radius; y++) {
      for (let x = Math.floor(at.x - radius); x <= at.x + radius; x++) {
        if (Math.hypot(x + 0.5 - at.x, y + 0.5 - at.y) <= radius) this.#set(x, y, value);
      }
    }
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {0 | 1} value
   */
  #set(x, y, value) {
    if (x >= 0 && y >= 0 && x < this.width && y < this.height) this.cells[y * this.width + x] = value;
  }
}

// A mask over a picture: one bit for each pixel, set where the picture may change; how it is drawn.

import { penOf } from "./grid.js";

const PAINTED = [255, 92, 51];
const FINE_PX = 512; // approximate resolution of the hatching

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

/** @param {Uint8Array} bytes */
export function bytesToBase64(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/**
 * The line of the paint dialog that describes the mask.
 *
 * @param {Mask} mask
 * @param {boolean} saved
 */
export function maskSummary(mask, saved) {
  if (!mask.holds) return mask.painted ? "Everything is painted: the whole tile changes." : "Nothing is painted: the whole tile changes.";
  const percent = Math.max(1, Math.round((100 * mask.painted) / mask.cells.length));
  return `${percent}% painted. ${saved ? "In use." : "Not in use yet."}`;
}

/**
 * Tint the painted pixels, one canvas pixel for each pixel of the model.
 *
 * @param {HTMLCanvasElement} element
 * @param {Mask} mask
 * @param {number} opacity
 */
export function drawPainted(element, mask, opacity) {
  paintCells(element, mask, [...PAINTED, Math.round(255 * opacity)]);
}

/**
 * Hatch the held pixels.
 *
 * @param {HTMLCanvasElement} element
 * @param {Mask | null} mask
 * @param {number} copies side by side
 */
export function drawHeld(element, mask, copies = 1) {
  const held = mask?.holds ? mask : null;
  element.hidden = !held;
  if (!held) return;
  const scale = Math.max(1, Math.round(FINE_PX / Math.max(held.width, held.height)));
  const context = penOf(element, held.width * scale * copies, held.height * scale);
  context.globalCompositeOperation = "copy";
  context.fillStyle = hatching(context);
  context.fillRect(0, 0, element.width, element.height);
  context.globalCompositeOperation = "destination-out";
  context.imageSmoothingEnabled = false;
  const cells = document.createElement("canvas");
  paintCells(cells, held, [0, 0, 0, 255]);
  const width = element.width / copies;
  for (let i = 0; i < copies; i++) context.drawImage(cells, i * width, 0, width, element.height);
}

/**
 * @param {HTMLCanvasElement} element
 * @param {Mask} mask
 * @param {number[]} colour
 */
function paintCells(element, mask, colour) {
  const image = new ImageData(mask.width, mask.height);
  mask.cells.forEach((cell, i) => {
    if (cell) image.data.set(colour, 4 * i);
  });
  penOf(element, mask.width, mask.height).putImageData(image, 0, 0);
}

/** @param {CanvasRenderingContext2D} context */
function hatching(context) {
  const side = 32;
  const stamp = document.createElement("canvas");
  const pen = penOf(stamp, side, side);
  pen.fillStyle = "rgb(16 20 30 / 28%)";
  pen.fillRect(0, 0, side, side);
  pen.strokeStyle = "rgb(205 216 255 / 30%)";
  pen.lineWidth = 3;
  for (const shift of [-side, 0, side]) {
    pen.beginPath();
    pen.moveTo(shift - 4, side + 4);
    pen.lineTo(shift + side + 4, -4);
    pen.stroke();
  }
  return context.createPattern(stamp, "repeat") ?? "gray";
}

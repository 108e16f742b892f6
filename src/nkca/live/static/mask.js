// What is painted over a picture, a number for each pixel: in a mask how much of a step it makes; how masks are drawn.

import { penOf } from "./grid.js";

export const FULL = 255; // a whole step
const PAINTED = [255, 92, 51];
const FINE_PX = 512; // approximate resolution of the hatching

export class Mask {
  /**
   * @param {number} width
   * @param {number} height
   * @param {Uint8Array | Uint16Array} [cells] 0: not painted
   */
  constructor(width, height, cells = new Uint8Array(width * height)) {
    this.width = width;
    this.height = height;
    this.cells = cells;
  }

  /**
   * @param {number} width
   * @param {number} height
   * @param {string} text row by row, base64: bits, the first pixel in the highest, or bytes
   */
  static parse(width, height, text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const cells = new Uint8Array(width * height);
    if (bytes.length === Math.ceil(cells.length / 8)) cells.forEach((_, i) => (cells[i] = FULL * ((bytes[i >> 3] >> (7 - (i & 7))) & 1)));
    else cells.set(bytes);
    return new Mask(width, height, cells);
  }

  /** As bytes if some pixels make parts of steps, else as bits. */
  toBase64() {
    return this.cells.some((cell) => cell > 0 && cell < FULL) ? bytesToBase64(Uint8Array.from(this.cells)) : this.toBits();
  }

  /** Whether each pixel is painted. */
  toBits() {
    const bytes = new Uint8Array(Math.ceil(this.cells.length / 8));
    this.cells.forEach((cell, i) => (bytes[i >> 3] |= Number(cell > 0) << (7 - (i & 7))));
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
    let count = 0;
    for (const cell of this.cells) count += Number(cell > 0);
    return count;
  }

  /** Whether some pixels are held or make less than whole steps: not if none or all are painted. */
  get holds() {
    return this.painted > 0 && this.cells.some((cell) => cell < FULL);
  }

  clear() {
    this.cells.fill(0);
  }

  invert() {
    this.cells.forEach((cell, i) => (this.cells[i] = FULL - cell));
  }

  /** @param {number} value of all that is not painted */
  fill(value) {
    this.cells.forEach((cell, i) => (this.cells[i] = cell || value));
  }

  /**
   * Draw a line with a round brush.
   *
   * @param {{x: number, y: number}} from
   * @param {{x: number, y: number}} to
   * @param {number} size
   * @param {number} value
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
   * @param {number} value
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
   * @param {number} value
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
  return `${percent}% painted${percent === 100 ? ", of less than full strength" : ""}. ${saved ? "In use." : "Not in use yet."}`;
}

/**
 * Tint the painted pixels, one canvas pixel for each pixel of the model.
 *
 * @param {HTMLCanvasElement} element
 * @param {Mask} mask
 * @param {number} opacity
 */
export function drawPainted(element, mask, opacity) {
  paintCells(element, mask, (pace) => [...PAINTED, Math.round(pace * opacity)]);
}

/**
 * Hatch the held pixels, and fainter those that make parts of steps.
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
  paintCells(cells, held, (pace) => [0, 0, 0, pace]);
  const width = element.width / copies;
  for (let i = 0; i < copies; i++) context.drawImage(cells, i * width, 0, width, element.height);
}

/**
 * @param {HTMLCanvasElement} element
 * @param {Mask} mask
 * @param {(cell: number) => ArrayLike<number>} colourOf what is painted: red, green, blue, alpha
 */
export function paintCells(element, mask, colourOf) {
  const image = new ImageData(mask.width, mask.height);
  mask.cells.forEach((cell, i) => {
    if (cell) image.data.set(colourOf(cell), 4 * i);
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

// Drawing of masks over pictures.

import { contextOf, make, resize } from "./dom.js";

/** @typedef {import("./mask.js").Mask} Mask */

const PAINTED = [255, 92, 51];
const FINE_PX = 512; // approximate resolution of the hatching

/**
 * Tint the painted pixels, one canvas pixel for each pixel of the model.
 *
 * @param {HTMLCanvasElement} element
 * @param {Mask} mask
 * @param {number} opacity
 */
export function drawPainted(element, mask, opacity) {
  paintCells(element, mask, 1, [...PAINTED, Math.round(255 * opacity)]);
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
  resize(element, held.width * scale * copies, held.height * scale);
  const context = contextOf(element);
  context.globalCompositeOperation = "copy";
  context.fillStyle = hatching(context);
  context.fillRect(0, 0, element.width, element.height);
  context.globalCompositeOperation = "destination-out";
  context.imageSmoothingEnabled = false;
  const cells = make("canvas");
  paintCells(cells, held, 1, [0, 0, 0, 255]);
  const width = element.width / copies;
  for (let i = 0; i < copies; i++) context.drawImage(cells, i * width, 0, width, element.height);
}

/**
 * @param {HTMLCanvasElement} element
 * @param {Mask} mask
 * @param {number} value
 * @param {number[]} colour
 */
function paintCells(element, mask, value, colour) {
  resize(element, mask.width, mask.height);
  const image = new ImageData(mask.width, mask.height);
  mask.cells.forEach((cell, i) => {
    if (cell === value) image.data.set(colour, 4 * i);
  });
  contextOf(element).putImageData(image, 0, 0);
}

/** @param {CanvasRenderingContext2D} context */
function hatching(context) {
  const side = 32;
  const stamp = make("canvas");
  resize(stamp, side, side);
  const pen = contextOf(stamp);
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

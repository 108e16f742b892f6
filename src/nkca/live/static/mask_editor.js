// The canvas of the paint dialog: pointer and keyboard strokes on a mask, and its display.

import { contextOf, canvas, resize } from "./dom.js";
import { Mask } from "./mask.js";
import { drawHeld, drawPainted } from "./overlay.js";

/** @typedef {{x: number, y: number}} Point in pixels of the model */

const ARROWS = new Map([
  ["ArrowLeft", [-1, 0]],
  ["ArrowRight", [1, 0]],
  ["ArrowUp", [0, -1]],
  ["ArrowDown", [0, 1]],
]);

export class MaskEditor {
  #surface = canvas("paint-canvas");
  #held = canvas("paint-held");
  #cursor = canvas("paint-cursor");
  /** @type {Point | null} */
  #at = null;
  /** @type {0 | 1 | null} */
  #drawing = null;

  /**
   * @param {{width: number, height: number}} size
   * @param {{tool: () => {size: number, value: 0 | 1}, begin: () => void, changed: () => void}} handlers
   */
  constructor(size, handlers) {
    this.mask = new Mask(size.width, size.height);
    this.handlers = handlers;
    this.opacity = 0.45;
    const surface = this.#surface;
    surface.addEventListener("pointerdown", (event) => this.#press(event));
    surface.addEventListener("pointermove", (event) => this.#move(event));
    surface.addEventListener("pointerup", () => (this.#drawing = null));
    surface.addEventListener("pointercancel", () => (this.#drawing = null));
    surface.addEventListener("pointerleave", () => this.#hover(null));
    surface.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    surface.addEventListener("contextmenu", (event) => event.preventDefault());
    surface.addEventListener("keydown", (event) => this.#key(event));
  }

  redraw() {
    drawPainted(this.#surface, this.mask, this.opacity);
    drawHeld(this.#held, this.mask);
    this.redrawCursor();
  }

  redrawCursor() {
    const { clientWidth, clientHeight } = this.#cursor;
    const scale = devicePixelRatio;
    resize(this.#cursor, Math.round(clientWidth * scale), Math.round(clientHeight * scale));
    const pen = contextOf(this.#cursor);
    pen.clearRect(0, 0, this.#cursor.width, this.#cursor.height);
    if (!this.#at) return;
    const pixel = this.#cursor.width / this.mask.width;
    for (const [colour, width] of /** @type {const} */ ([["rgb(0 0 0 / 70%)", 3], ["white", 1.5]])) {
      pen.strokeStyle = colour;
      pen.lineWidth = width * scale;
      pen.beginPath();
      pen.arc(this.#at.x * pixel, this.#at.y * pixel, (this.handlers.tool().size / 2) * pixel, 0, 7);
      pen.stroke();
    }
  }

  /** @param {PointerEvent} event */
  #press(event) {
    if (event.button === 1 || !event.isPrimary) return;
    event.preventDefault();
    this.#surface.focus();
    this.#surface.setPointerCapture(event.pointerId);
    const { value } = this.handlers.tool();
    const erases = event.button === 2 || event.button === 5;
    this.#drawing = erases ? 0 : value;
    const at = this.#pointOf(event);
    this.handlers.begin();
    this.#stroke(at, at, this.#drawing);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    if (!event.isPrimary) return;
    const path = event.getCoalescedEvents?.() ?? [];
    for (const each of path.length ? path : [event]) {
      const at = this.#pointOf(each);
      if (this.#drawing !== null) this.#stroke(this.#at ?? at, at, this.#drawing);
      this.#at = at;
    }
    this.redrawCursor();
  }

  /** @param {Point | null} at */
  #hover(at) {
    if (this.#drawing !== null) return;
    this.#at = at;
    this.redrawCursor();
  }

  /**
   * @param {Point} from
   * @param {Point} to
   * @param {0 | 1} value
   */
  #stroke(from, to, value) {
    this.mask.stroke(from, to, this.handlers.tool().size, value);
    this.#at = to;
    this.handlers.changed();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const way = ARROWS.get(event.key);
    if (event.ctrlKey || event.metaKey || event.altKey || (!way && event.key !== "Enter")) return;
    event.preventDefault();
    const { width, height } = this.mask;
    const from = this.#at ?? { x: Math.floor(width / 2) + 0.5, y: Math.floor(height / 2) + 0.5 };
    const [right, down] = way ?? [0, 0];
    const at = { x: within(from.x + right, width), y: within(from.y + down, height) };
    if (!way || event.shiftKey) {
      if (!event.repeat) this.handlers.begin();
      this.#stroke(from, at, this.handlers.tool().value);
    } else {
      this.#hover(at);
    }
  }

  /**
   * @param {PointerEvent} event
   * @returns {Point}
   */
  #pointOf(event) {
    const box = this.#surface.getBoundingClientRect();
    const { width, height } = this.mask;
    return { x: ((event.clientX - box.left) / box.width) * width, y: ((event.clientY - box.top) / box.height) * height };
  }
}

/**
 * @param {number} value
 * @param {number} size
 */
function within(value, size) {
  return Math.min(size - 0.5, Math.max(0.5, value));
}

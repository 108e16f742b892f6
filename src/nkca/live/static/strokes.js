// What the dialogs with a brush have in common: strokes that can be undone, the canvas, the size, the keys.

import { isOff } from "./commands.js";
import { Slider } from "./controls.js";
import { penOf } from "./grid.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./preact.js";

/**
 * @import { Commands } from "./commands.js"
 * @import { Mask } from "./mask.js"
 * @typedef {{x: number, y: number}} Point in pixels of the model
 * @typedef {ReturnType<typeof useStrokes>} Painted
 */

const MAX_UNDO = 100;
/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** @param {Mask} first what is painted, the size of the brush, and the ways to change them */
export function useStrokes(first) {
  const [past, setPast] = useState(/** @type {Mask[]} */ ([])); // what was painted before each stroke, and now
  const [mask, setMask] = useState(first);
  const longest = Math.max(first.width, first.height);
  const [size, setSize] = useState(Math.max(1, Math.round(longest / 8)));
  const largest = Math.ceil(longest / 2);
  const begin = () => setPast([...past, mask].slice(-MAX_UNDO));
  return {
    mask,
    setMask,
    size,
    largest,
    begin,
    /** @param {number} to */
    resize(to) {
      const within = Math.min(largest, Math.max(1, to));
      setSize(within);
      return within;
    },
    undo() {
      if (!past.length) return;
      setMask(past[past.length - 1]);
      setPast(past.slice(0, -1));
    },
    /** @param {(mask: Mask) => void} change */
    edit(change) {
      begin();
      const next = mask.copy();
      change(next);
      setMask(next);
    },
  };
}

/** @param {{strokes: Painted}} props */
export function BrushSize({ strokes: { size, largest, resize } }) {
  return html`<label class="field">Size <output id="brush-size-value" aria-live="off">${size}</output>
    <${Slider} id="brush-size" min=${1} max=${largest} step=${1} value=${size} set=${resize} title="[ and ]" /></label>`;
}

/**
 * What the keys do in a dialog with a brush.
 *
 * @param {Commands} commands
 * @param {Painted} strokes
 * @param {Record<string, () => void>} more
 * @returns {(event: KeyboardEvent) => void}
 */
export function brushKeys(commands, { size, resize, undo }, more) {
  /** @type {Record<string, () => void>} */
  const table = {
    z: undo,
    h: () => commands.toggleMarks(),
    "[": () => resize(size - 1),
    "-": () => resize(size - 1),
    "]": () => resize(size + 1),
    "+": () => resize(size + 1),
    " ": () => commands.toggleRun(),
    ...more,
  };
  return (event) => {
    const { key, ctrlKey, metaKey, altKey, shiftKey, repeat } = event;
    const onControl = event.target instanceof Element && event.target.matches("button, input:not([type=range])");
    const run = ctrlKey || metaKey ? (key.toLowerCase() === "z" && !shiftKey ? undo : undefined) : table[key.toLowerCase()];
    if (!run || event.defaultPrevented || altKey || isOff(commands, event) || (key === " " && (onControl || repeat))) return;
    event.preventDefault();
    run();
  };
}

/**
 * The canvas that is painted on, with pointer and keys, between the hatching of what is held and the outline of the brush.
 *
 * @param {{name: string, label: string, strokes: Painted, value: number, when?: unknown[], draw: (surface: HTMLCanvasElement, held: HTMLCanvasElement) => void, pick?: ((at: Point) => void) | null}} props
 *   `value`: what the brush paints, 0: it erases; `draw`: shows what is painted, again if that or `when` changes; `pick`: called in place of painting
 */
export function Strokes({ name, label, strokes: { mask, setMask, begin, size }, value, when = [], draw, pick = null }) {
  const canvases = /** @type {{current: Record<"held" | "surface" | "cursor", HTMLCanvasElement>}} */ (useRef({}));
  const brush = useRef({ at: /** @type {Point | null} */ (null), drawing: /** @type {number | null} */ (null), mask, size }).current;
  Object.assign(brush, { mask, size });
  const drawCursor = () => ring(canvases.current.cursor, brush.at, brush.size, mask.width);
  useLayoutEffect(() => draw(canvases.current.surface, canvases.current.held), [mask, ...when]);
  useLayoutEffect(drawCursor);
  useEffect(() => {
    const { surface, cursor } = canvases.current;
    const still = (/** @type {Event} */ event) => event.preventDefault();
    surface.addEventListener("touchstart", still, { passive: false });
    const observer = new ResizeObserver(() => drawCursor());
    observer.observe(cursor);
    return () => observer.disconnect();
  }, []);
  /** @param {Point} from @param {Point} to @param {number} paints */
  const stroke = (from, to, paints) => {
    brush.mask = brush.mask.copy();
    brush.mask.stroke(from, to, size, paints);
    brush.at = to;
    setMask(brush.mask);
  };
  /** @param {PointerEvent} event @returns {Point} */
  const pointOf = (event) => {
    const { left, top, width, height } = canvases.current.surface.getBoundingClientRect();
    return { x: ((event.clientX - left) / width) * mask.width, y: ((event.clientY - top) / height) * mask.height };
  };
  /** @param {PointerEvent} event */
  const down = (event) => {
    if (event.button === 1 || !event.isPrimary) return;
    event.preventDefault();
    canvases.current.surface.focus();
    if (pick) return pick(pointOf(event));
    canvases.current.surface.setPointerCapture(event.pointerId);
    brush.drawing = event.button === 2 || event.button === 5 ? 0 : value;
    begin();
    stroke(pointOf(event), pointOf(event), brush.drawing);
  };
  /** @param {PointerEvent} event */
  const move = (event) => {
    if (!event.isPrimary) return;
    const path = event.getCoalescedEvents?.() ?? [];
    for (const each of path.length ? path : [event]) {
      const at = pointOf(each);
      if (brush.drawing !== null) stroke(brush.at ?? at, at, brush.drawing);
      brush.at = at;
    }
    drawCursor();
  };
  const up = () => void (brush.drawing = null);
  const leave = () => {
    if (brush.drawing !== null) return;
    brush.at = null;
    drawCursor();
  };
  /** @param {KeyboardEvent} event */
  const press = (event) => {
    const way = ARROWS[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey || (!way && event.key !== "Enter")) return;
    event.preventDefault();
    const from = brush.at ?? { x: Math.floor(mask.width / 2) + 0.5, y: Math.floor(mask.height / 2) + 0.5 };
    const [right, below] = way ?? [0, 0];
    const at = { x: within(from.x + right, mask.width), y: within(from.y + below, mask.height) };
    if (way && !event.shiftKey) return (brush.at = at), drawCursor();
    if (pick) return pick(at);
    if (!event.repeat) begin();
    stroke(from, at, value);
  };
  return html`
    <canvas class="brush-held" aria-hidden="true" hidden ref=${(/** @type {any} */ held) => (canvases.current.held = held)}></canvas>
    <canvas id=${`${name}-canvas`} class="brush-canvas" tabindex="0" autofocus=${true} role="application" aria-label=${`${label}. The arrow keys move the brush, Enter paints, Shift and an arrow key paint a line.`}
      ref=${(/** @type {any} */ surface) => (canvases.current.surface = surface)} onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${up} onPointerLeave=${leave}
      onContextMenu=${(/** @type {Event} */ event) => event.preventDefault()} onKeyDown=${press}></canvas>
    <canvas class="brush-cursor" aria-hidden="true" ref=${(/** @type {any} */ cursor) => (canvases.current.cursor = cursor)}></canvas>`;
}

/**
 * Draw the outline of the brush.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Point | null} at null: nowhere
 * @param {number} size
 * @param {number} across pixels of the model
 */
function ring(canvas, at, size, across) {
  if (!canvas) return;
  const scale = devicePixelRatio;
  const pen = penOf(canvas, Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale));
  pen.clearRect(0, 0, canvas.width, canvas.height);
  if (!at) return;
  const pixel = canvas.width / across;
  for (const [colour, width] of /** @type {const} */ ([["rgb(0 0 0 / 70%)", 3], ["white", 1.5]])) {
    pen.strokeStyle = colour;
    pen.lineWidth = width * scale;
    pen.beginPath();
    pen.arc(at.x * pixel, at.y * pixel, (size / 2) * pixel, 0, 7);
    pen.stroke();
  }
}

/**
 * @param {number} value
 * @param {number} size
 */
function within(value, size) {
  return Math.min(size - 0.5, Math.max(0.5, value));
}

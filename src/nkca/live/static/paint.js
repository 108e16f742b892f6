// The paint dialog: choose which pixels of a tile change and which are held.

import { isOff } from "./commands.js";
import { Button, Check, LevelSlider, RunButton, Slider, Solo } from "./controls.js";
import { closeDialog, Dialog } from "./dialog.js";
import { penOf, TilePicture } from "./grid.js";
import { drawHeld, drawPainted, Mask, maskSummary } from "./mask.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./preact.js";

/** @typedef {{x: number, y: number}} Point in pixels of the model */

const STRONG = 0.5; // opacity of a mask that is not in use yet
const FAINT = 0.16;
const MAX_UNDO = 100;
/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** @param {{commands: import("./commands.js").Commands, tile: number, mask?: Mask, closed: () => void}} props `mask`: strokes that are not in use yet */
export default function Paint({ commands, tile, mask: drawn, closed }) {
  const { store, front } = commands;
  const [, height, width] = store.about.data_shape;
  const longest = Math.max(width, height);
  const [applied, setApplied] = useState(() => {
    const text = store.lists.value.masks.tiles[tile];
    return text === undefined ? new Mask(width, height) : Mask.parse(width, height, text);
  });
  const [past, setPast] = useState(/** @type {Mask[]} */ ([])); // the masks before each stroke, and now
  const [mask, setMask] = useState(drawn ?? applied);
  const [value, setValue] = useState(/** @type {0 | 1} */ (1));
  const [size, setSize] = useState(Math.max(1, Math.round(longest / 8)));
  const largest = Math.ceil(longest / 2);
  const saved = mask.equals(applied);
  /** @param {number} to */
  const resize = (to) => {
    const within = Math.min(largest, Math.max(1, to));
    setSize(within);
    return within;
  };
  const begin = () => setPast([...past, mask].slice(-MAX_UNDO));
  const undo = () => {
    if (!past.length) return;
    setMask(past[past.length - 1]);
    setPast(past.slice(0, -1));
  };
  /** @param {(mask: Mask) => void} change */
  const edit = (change) => {
    begin();
    const next = mask.copy();
    change(next);
    setMask(next);
  };
  /** @returns {Promise<boolean>} whether the mask is in use */
  const apply = async () => {
    if (saved) return true;
    const done = await store.send({ do: "paint", tile, mask: mask.toBase64(), seen: store.onScreen, finished: store.showsFinished });
    if (done) setApplied(mask);
    return done;
  };
  /** Close at once, and open again if the mask could not be applied. */
  const finish = async () => {
    closeDialog("paint-dialog");
    if (!(await apply())) commands.paint(tile, mask);
  };
  const cancel = async () => {
    if (saved || (await front.ask("Discard the strokes?", "Discard", "Keep painting"))) closeDialog("paint-dialog");
  };
  /** @param {KeyboardEvent} event */
  const press = (event) => {
    const { key, ctrlKey, metaKey, altKey, shiftKey, repeat } = event;
    const onControl = event.target instanceof Element && event.target.matches("button, input[type=checkbox]");
    const ctrl = ctrlKey || metaKey;
    /** @type {Record<string, () => void>} */
    const table = {
      b: () => setValue(1),
      e: () => setValue(0),
      z: undo,
      h: () => commands.toggleMarks(),
      "[": () => resize(size - 1),
      "-": () => resize(size - 1),
      "]": () => resize(size + 1),
      "+": () => resize(size + 1),
      " ": () => commands.toggleRun(),
      escape: cancel,
    };
    const run = ctrl ? (key.toLowerCase() === "z" && !shiftKey ? undo : undefined) : table[key.toLowerCase()];
    if (!run || event.defaultPrevented || altKey || isOff(commands, event) || (key === " " && (onControl || repeat))) return;
    event.preventDefault();
    run();
  };
  const { marks } = store.settings.value;
  return html`<${Dialog} id="paint-dialog" label="paint-title" closed=${closed} keyed=${press} onCancel=${(/** @type {Event} */ event) => (event.preventDefault(), cancel())}>
    <div class="head"><h2 id="paint-title">Paint tile ${tile + 1}</h2><p class="muted">Paint the pixels that should change. The others are held exactly.</p></div>
    <div class="mask-editor">
      <div id="paint-stage" style=${{ "--aspect": width / height }}>
        <${TilePicture} id="paint-picture" tile=${tile} commands=${commands} aria-hidden="true" />
        <${Strokes} mask=${mask} setMask=${setMask} begin=${begin} size=${size} value=${value} opacity=${saved ? FAINT : STRONG} />
      </div>
      <div class="tools">
        <div class="row" role="group" aria-label="Tool">
          <${Button} id="brush" icon="paint" label="Brush" letter="B" aria-pressed=${value === 1} run=${() => setValue(1)} />
          <${Button} id="eraser" icon="erase" label="Eraser" letter="E" aria-pressed=${value === 0} run=${() => setValue(0)} />
        </div>
        <label class="field">Size <output id="brush-size-value">${size}</output>
          <${Slider} id="brush-size" min=${1} max=${largest} step=${1} value=${size} set=${resize} title="[ and ]" /></label>
        <div class="row">
          <${Button} id="mask-undo" icon="undo" label="Undo" title="Undo the last stroke (Ctrl+Z)" run=${undo} />
          <${Button} id="mask-clear" label="Clear" run=${() => edit((all) => all.clear())} />
          <${Button} id="mask-invert" label="Invert" run=${() => edit((all) => all.invert())} />
        </div>
        <div class="row switches">
          <${Check} id="paint-marks" on=${marks} set=${(/** @type {boolean} */ on) => store.set({ marks: on })}>Masks<//>
          <${Solo} id="paint-solo" commands=${commands} />
        </div>
        <p class="muted" id="paint-note" role="status">${maskSummary(mask, saved)}</p>
        <span class="spring"></span>
        <label class="field">Noise level <output id="paint-level-value" aria-live="off">${store.now("level").toFixed(2)}</output><${LevelSlider} id="paint-level" commands=${commands} /></label>
        <div class="row">
          <${RunButton} id="paint-run" commands=${commands} />
          <${Button} id="paint-apply" label="Apply" title="Use the mask without closing this dialog" run=${apply} />
        </div>
        <div class="row">
          <${Button} id="paint-cancel" label="Cancel" run=${cancel} />
          <${Button} id="paint-done" class="primary wide" label="Done" run=${finish} />
        </div>
      </div>
    </div>
  <//>`;
}

/**
 * The canvas that is painted on, with pointer and keys, under the hatching of what is held.
 *
 * @param {{mask: Mask, setMask: (mask: Mask) => void, begin: () => void, size: number, value: 0 | 1, opacity: number}} props
 */
function Strokes({ mask, setMask, begin, size, value, opacity }) {
  const canvases = /** @type {{current: Record<"held" | "surface" | "cursor", HTMLCanvasElement>}} */ (useRef({}));
  const brush = useRef({ at: /** @type {Point | null} */ (null), drawing: /** @type {0 | 1 | null} */ (null), mask, size }).current;
  Object.assign(brush, { mask, size });
  const drawCursor = () => ring(canvases.current.cursor, brush.at, brush.size, mask.width);
  useLayoutEffect(() => {
    drawPainted(canvases.current.surface, mask, opacity);
    drawHeld(canvases.current.held, mask);
  }, [mask, opacity]);
  useLayoutEffect(drawCursor);
  useEffect(() => {
    const { surface, cursor } = canvases.current;
    const still = (/** @type {Event} */ event) => event.preventDefault();
    surface.addEventListener("touchstart", still, { passive: false });
    const observer = new ResizeObserver(() => drawCursor());
    observer.observe(cursor);
    return () => observer.disconnect();
  }, []);
  /** @param {Point} from @param {Point} to @param {0 | 1} paints */
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
    if (!event.repeat) begin();
    stroke(from, at, value);
  };
  return html`
    <canvas id="paint-held" aria-hidden="true" ref=${(/** @type {any} */ held) => (canvases.current.held = held)}></canvas>
    <canvas id="paint-canvas" tabindex="0" autofocus=${true} role="application" aria-label="Mask. The arrow keys move the brush, Enter paints, Shift and an arrow key paint a line."
      ref=${(/** @type {any} */ surface) => (canvases.current.surface = surface)} onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${up} onPointerLeave=${leave}
      onContextMenu=${(/** @type {Event} */ event) => event.preventDefault()} onKeyDown=${press}></canvas>
    <canvas id="paint-cursor" aria-hidden="true" ref=${(/** @type {any} */ cursor) => (canvases.current.cursor = cursor)}></canvas>`;
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

// The plot of noise level and change per step over the last steps.

import { penOf } from "./grid.js";
import { effect, html, useLayoutEffect, useRef, useState } from "./preact.js";

/**
 * @typedef {import("./types.js").Head} Head
 * @typedef {{step: number, level: number, change: number | null}} Point
 * @typedef {{left: number, top: number, width: number, height: number}} Frame
 */

const MAX_POINTS = 300;
const MIN_POINTS = 60; // the fewest points that fill the width
const NICE = [1, 2, 5, 10];

/** @param {{store: import("./store.js").Store, first: Head}} props `first`: the head where the plot begins */
export default function Plot({ store, first }) {
  const canvas = /** @type {{current: HTMLCanvasElement}} */ (useRef(null));
  const [span, setSpan] = useState("");
  useLayoutEffect(() => {
    const plot = new Drawing(canvas.current, setSpan);
    plot.add(first);
    const stop = effect(() => void (store.latest.value && plot.add(store.latest.value)));
    const resized = new ResizeObserver(() => plot.schedule());
    resized.observe(canvas.current);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", plot.schedule);
    const themed = new MutationObserver(plot.schedule);
    themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => (stop(), resized.disconnect(), themed.disconnect(), dark.removeEventListener("change", plot.schedule));
  }, []);
  return html`<canvas id="plot" role="img" aria-label="Noise level and change per step over the last steps" ref=${canvas}></canvas>
    <figcaption><span class="key key-level">level</span><span class="key key-change">change per step</span><span id="plot-span">${span}</span></figcaption>`;
}

class Drawing {
  /** @type {Point[]} */
  points = [];
  waiting = false;

  /**
   * @param {HTMLCanvasElement} element
   * @param {(text: string) => void} setSpan
   */
  constructor(element, setSpan) {
    this.element = element;
    this.setSpan = setSpan;
    this.pen = penOf(element, element.width, element.height);
  }

  /** @param {Head} head */
  add({ step, level, change }) {
    const last = this.points.at(-1);
    if (last && last.step === step && last.level === level) return;
    if (last && last.step === step) this.points.pop();
    this.points.push({ step, level, change });
    if (this.points.length > MAX_POINTS) this.points.shift();
    this.schedule();
  }

  schedule = () => {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.#draw();
    });
  };

  #draw() {
    const { clientWidth, clientHeight } = this.element;
    const scale = devicePixelRatio;
    penOf(this.element, Math.round(clientWidth * scale), Math.round(clientHeight * scale));
    this.pen.setTransform(scale, 0, 0, scale, 0, 0);
    this.pen.clearRect(0, 0, clientWidth, clientHeight);
    const frame = { left: 22, top: 6, width: clientWidth - 62, height: clientHeight - 12 };
    const top = niceAbove(Math.max(0, ...this.points.map(({ change }) => change ?? 0)));
    this.#axes(frame, top);
    this.#line(frame, colourOf(".key-change"), ({ change }) => (change === null ? null : change / top));
    this.#line(frame, colourOf(".key-level"), ({ level }) => level);
    this.setSpan(spanOf(this.points));
  }

  /**
   * @param {Frame} frame
   * @param {number} top
   */
  #axes({ left, top: y, width, height }, top) {
    const { pen } = this;
    pen.font = "10px system-ui, sans-serif";
    pen.textBaseline = "middle";
    for (const part of [0, 0.5, 1]) {
      const at = Math.round(y + height * (1 - part)) + 0.5;
      pen.fillStyle = colourOf(".plot canvas");
      pen.globalAlpha = 0.18;
      pen.fillRect(left, at, width, 1);
      pen.globalAlpha = 1;
      pen.fillStyle = colourOf(".key-level");
      pen.textAlign = "right";
      pen.fillText(String(part), left - 5, at);
      pen.fillStyle = colourOf(".key-change");
      pen.textAlign = "left";
      pen.fillText(short(part * top), left + width + 5, at);
    }
  }

  /**
   * @param {Frame} frame
   * @param {string} colour
   * @param {(point: Point) => number | null} valueOf in 0 to 1
   */
  #line({ left, top, width, height }, colour, valueOf) {
    const { pen, points } = this;
    pen.strokeStyle = colour;
    pen.lineWidth = 1.5;
    pen.lineJoin = "round";
    pen.beginPath();
    const last = Math.max(MIN_POINTS, points.length) - 1;
    const start = last + 1 - points.length;
    points.forEach((point, i) => {
      const value = valueOf(point);
      if (value === null) return;
      const x = left + (width * (start + i)) / last;
      const y = top + height * (1 - value);
      const broken = i === 0 || point.step < points[i - 1].step || valueOf(points[i - 1]) === null;
      if (broken) pen.moveTo(x, y);
      else pen.lineTo(x, y);
    });
    pen.stroke();
  }
}

/** @param {string} selector */
function colourOf(selector) {
  const element = document.querySelector(selector);
  return element ? getComputedStyle(element).color : "gray";
}

/** @param {number} value */
function niceAbove(value) {
  if (!(value > 0)) return 0.1;
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = NICE.find((nice) => nice * power >= value) ?? 10;
  return factor * power;
}

/** @param {number} value */
function short(value) {
  return value === 0 ? "0" : String(Number(value.toPrecision(2)));
}

/** @param {Point[]} points */
function spanOf(points) {
  const steps = points.reduce((sum, { step }, i) => sum + (i ? Math.max(0, step - points[i - 1].step) : 0), 0);
  return steps ? `last ${steps} ${steps === 1 ? "step" : "steps"}` : "";
}

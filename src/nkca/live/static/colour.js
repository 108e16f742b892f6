// The dialog in which colours are painted on a tile, which the chain then makes real.

import { Button, Slider } from "./controls.js";
import { closeDialog, Dialog } from "./dialog.js";
import { penOf, TilePicture } from "./grid.js";
import { Mask, paintCells } from "./mask.js";
import { html, useLayoutEffect, useState } from "./preact.js";
import { BrushSize, brushKeys, Strokes, useStrokes } from "./strokes.js";

/** @typedef {[number, number, number, number]} Colour red, green, blue and alpha, 0 to 255 */

const LEVEL = 0.3; // strokes become pictures, and their colours stay
const LEVELS = { min: 0.1, max: 0.6, step: 0.01 };
const FOUND = 12; // colours that are picked from the picture at first
const APART = 48; // by which they differ, in all channels together
const TOOLS = /** @type {const} */ ([["brush", "Brush", "B"], ["eraser", "Eraser", "E"], ["pick", "Pick", "I"]]);

/** @param {{commands: import("./commands.js").Commands, tile: number, closed: () => void}} props */
export default function ColourDialog({ commands, tile, closed }) {
  const { store, front } = commands;
  const { palette, min_level, data_shape: [channels, height, width] } = store.about;
  const strokes = useStrokes(new Mask(width, height, new Uint16Array(width * height)));
  const { mask } = strokes; // its cells: 1 + the index of a colour
  const [colours, setColours] = useState(/** @type {Colour[]} */ (palette?.map(toRgba) ?? []));
  const [chosen, setChosen] = useState(0);
  const [tool, setTool] = useState(/** @type {typeof TOOLS[number][0]} */ ("brush"));
  const [level, setLevel] = useState(Math.max(LEVEL, min_level));
  useLayoutEffect(() => {
    if (!palette) setColours(coloursOf(pixelsOf("colour-picture"), channels === 1));
  }, []);
  /** @param {Colour} colour */
  const take = (colour) => {
    const same = colours.findIndex((other) => other.join() === colour.join());
    const to = palette ? nearest(colours, colour) : same < 0 ? colours.length : same;
    if (to === colours.length) setColours([...colours, colour]);
    setChosen(to);
    setTool("brush");
  };
  /** @param {import("./strokes.js").Point} at */
  const pickAt = ({ x, y }) => {
    const i = Math.floor(y) * width + Math.floor(x);
    const painted = mask.cells[i];
    take(painted ? colours[painted - 1] : /** @type {Colour} */ ([...pixelsOf("colour-picture").subarray(4 * i, 4 * i + 4)]));
  };
  /** @param {boolean} everywhere */
  const apply = async (everywhere) => {
    const image = pictureOf(mask, colours);
    const event = /** @type {const} */ ({ do: "colour", tile, mask: mask.toBits(), image, level, everywhere, seen: store.onScreen, finished: store.showsFinished });
    if (!(await store.send(event))) return;
    front.say(`Colours painted, noise level ${level.toFixed(2)}`);
    closeDialog("colour-dialog");
  };
  const cancel = async () => {
    if (!mask.painted || (await front.ask("Discard the strokes?", "Discard", "Keep painting"))) closeDialog("colour-dialog");
  };
  const press = brushKeys(commands, strokes, { b: () => setTool("brush"), e: () => setTool("eraser"), i: () => setTool("pick"), escape: cancel });
  const colour = colours[chosen] ?? [0, 0, 0, 255];
  const draw = (/** @type {HTMLCanvasElement} */ surface) => paintCells(surface, mask, (cell) => colours[cell - 1]);
  return html`<${Dialog} id="colour-dialog" class="brush-dialog" label="colour-title" closed=${closed} keyed=${press} onCancel=${(/** @type {Event} */ event) => (event.preventDefault(), cancel())}>
    <div class="head"><h2 id="colour-title">Colours on tile ${tile + 1}</h2><p class="muted">Paint roughly what you want. The chain makes it real.</p></div>
    <div class="mask-editor">
      <div class="brush-stage" style=${{ "--aspect": width / height }}>
        <${TilePicture} id="colour-picture" tile=${tile} commands=${commands} aria-hidden="true" />
        <${Strokes} name="colour" label="Colours" strokes=${strokes} value=${tool === "eraser" ? 0 : 1 + chosen} draw=${draw} pick=${tool === "pick" ? pickAt : null} />
      </div>
      <div class="tools">
        <div class="row" role="group" aria-label="Tool">
          ${TOOLS.map(([name, label, letter]) => html`<${Button} id=${`colour-${name}`} label=${label} letter=${letter} aria-pressed=${tool === name} run=${() => setTool(name)} />`)}
        </div>
        <fieldset id="swatches" class="swatches"><legend class="unseen">Colour</legend>
          ${colours.map((one, i) => html`<label title=${hexOf(one)}><input type="radio" name="swatch" aria-label=${nameOf(one)} checked=${i === chosen} onChange=${() => (setChosen(i), setTool("brush"))} />
            <span style=${{ "--colour": `rgb(${one[0]} ${one[1]} ${one[2]} / ${one[3] / 255})` }}></span></label>`)}
        </fieldset>
        ${!palette && channels === 1 && html`<label class="field">Grey <output aria-live="off">${colour[0]}</output>
          <${Slider} id="colour-grey" min=${0} max=${255} step=${1} value=${colour[0]} set=${(/** @type {number} */ v) => (take([v, v, v, 255]), v)} /></label>`}
        ${!palette && channels > 1 && html`<label class="row">Any colour <input id="colour-any" type="color" value=${hexOf(colour)} onChange=${(/** @type {any} */ event) => take(fromHex(event.currentTarget.value))} /></label>`}
        <${BrushSize} strokes=${strokes} />
        <div class="row">
          <${Button} id="colour-undo" icon="undo" label="Undo" title="Undo the last stroke (Ctrl+Z)" run=${strokes.undo} />
          <${Button} id="colour-clear" label="Clear" run=${() => strokes.edit((all) => all.clear())} />
        </div>
        <span class="spring"></span>
        <label class="field" title="0.2 keeps the strokes as they are, 0.4 makes more of them">Noise level <output aria-live="off">${level.toFixed(2)}</output>
          <${Slider} id="colour-level" ...${LEVELS} value=${level} set=${(/** @type {number} */ to) => (setLevel(Math.max(to, min_level)), to)} /></label>
        <p class="muted">Low: your strokes stay. High: the chain makes more of them.</p>
        <div class="row">
          <${Button} id="colour-cancel" label="Cancel" run=${cancel} />
          <${Button} id="colour-all" label="On all tiles" title="All unlocked tiles start from it, each with its own noise" disabled=${!mask.painted} run=${() => apply(true)} />
        </div>
        <${Button} id="colour-apply" class="primary" label="Make it real" disabled=${!mask.painted} run=${() => apply(false)} />
      </div>
    </div>
  <//>`;
}

/** @param {number[]} channels one to four @returns {Colour} */
function toRgba([red, green = red, blue = red, alpha = 255]) {
  return [red, green, blue, alpha];
}

/** @param {Colour} colour */
function hexOf([red, green, blue]) {
  return `#${[red, green, blue].map((v) => v.toString(16).padStart(2, "0")).join("")}`;
}

/** @param {Colour} colour */
function nameOf(colour) {
  return colour[3] ? hexOf(colour) : "transparent";
}

/** @param {string} hex @returns {Colour} */
function fromHex(hex) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return [red, green, blue, 255];
}

/** @param {string} id of a canvas */
function pixelsOf(id) {
  const canvas = /** @type {HTMLCanvasElement} */ (document.getElementById(id));
  return penOf(canvas, canvas.width, canvas.height).getImageData(0, 0, canvas.width, canvas.height).data;
}

/** @param {Colour} one @param {Colour} other */
function distance(one, other) {
  return one.reduce((sum, value, i) => sum + Math.abs(value - other[i]), 0);
}

/** @param {Colour[]} colours @param {Colour} colour @returns {number} an index */
export function nearest(colours, colour) {
  const distances = colours.map((one) => distance(one, colour));
  return distances.indexOf(Math.min(...distances));
}

/**
 * Black, white, and the most frequent colours of a picture that differ.
 *
 * @param {Uint8ClampedArray} pixels
 * @param {boolean} grey
 */
export function coloursOf(pixels, grey) {
  const counts = /** @type {Map<string, number>} */ (new Map());
  for (let i = 0; i < pixels.length; i += 4) {
    const rounded = [...pixels.subarray(i, i + 3)].map((v) => Math.min(255, 16 * Math.round(v / 16))).join();
    counts.set(rounded, 1 + (counts.get(rounded) ?? 0));
  }
  const frequent = [...counts].sort(([, a], [, b]) => b - a).map(([text]) => toRgba(text.split(",").map(Number)));
  /** @type {Colour[]} */
  const found = [[0, 0, 0, 255], [255, 255, 255, 255]];
  const wanted = grey ? FOUND / 2 : FOUND;
  for (const colour of frequent) {
    if (found.length < wanted && found.every((other) => distance(colour, other) >= APART)) found.push(colour);
  }
  return found;
}

/** @param {Mask} mask @param {Colour[]} colours @returns {string} a PNG, base64 */
function pictureOf(mask, colours) {
  const canvas = document.createElement("canvas");
  paintCells(canvas, mask, (cell) => colours[cell - 1]);
  return canvas.toDataURL("image/png").split(",")[1];
}

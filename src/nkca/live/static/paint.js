// The paint dialog: choose which pixels of a tile change, how fast, and which are held.

import { Button, Check, LevelSlider, RunButton, Slider, Solo } from "./controls.js";
import { closeDialog, Dialog } from "./dialog.js";
import { TilePicture } from "./grid.js";
import { drawHeld, drawPainted, FULL, Mask, maskSummary } from "./mask.js";
import { html, useState } from "./preact.js";
import { BrushSize, brushKeys, Strokes, useStrokes } from "./strokes.js";

const STRONG = 0.5; // opacity of a mask that is not in use yet
const FAINT = 0.16;

/** @param {{commands: import("./commands.js").Commands, tile: number, mask?: Mask, closed: () => void}} props `mask`: strokes that are not in use yet */
export default function Paint({ commands, tile, mask: drawn, closed }) {
  const { store, front } = commands;
  const [, height, width] = store.about.data_shape;
  const [applied, setApplied] = useState(() => {
    const text = store.lists.value.masks.tiles[tile];
    return text === undefined ? new Mask(width, height) : Mask.parse(width, height, text);
  });
  const strokes = useStrokes(drawn ?? applied);
  const { mask, edit } = strokes;
  const [erases, setErases] = useState(false);
  const [strength, setStrength] = useState(100);
  const pace = Math.round((FULL * strength) / 100);
  const saved = mask.equals(applied);
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
  const press = brushKeys(commands, strokes, { b: () => setErases(false), e: () => setErases(true), escape: cancel });
  const { marks } = store.settings.value;
  return html`<${Dialog} id="paint-dialog" class="brush-dialog" label="paint-title" closed=${closed} keyed=${press} onCancel=${(/** @type {Event} */ event) => (event.preventDefault(), cancel())}>
    <div class="head"><h2 id="paint-title">Paint tile ${tile + 1}</h2><p class="muted">Paint the pixels that should change. The others are held exactly. Of less strength: they change less in a step.</p></div>
    <div class="mask-editor">
      <div class="brush-stage" style=${{ "--aspect": width / height }}>
        <${TilePicture} id="paint-picture" tile=${tile} commands=${commands} aria-hidden="true" />
        <${Strokes} name="paint" label="Mask" strokes=${strokes} value=${erases ? 0 : pace} when=${[saved]}
          draw=${(/** @type {HTMLCanvasElement} */ surface, /** @type {HTMLCanvasElement} */ held) => (drawPainted(surface, mask, saved ? FAINT : STRONG), drawHeld(held, mask))} />
      </div>
      <div class="tools">
        <div class="row" role="group" aria-label="Tool">
          <${Button} id="brush" icon="paint" label="Brush" letter="B" aria-pressed=${!erases} run=${() => setErases(false)} />
          <${Button} id="eraser" icon="erase" label="Eraser" letter="E" aria-pressed=${erases} run=${() => setErases(true)} />
        </div>
        <${BrushSize} strokes=${strokes} />
        <label class="field" title="How much of a step the painted pixels make">Strength <output id="strength-value" aria-live="off">${strength} %</output>
          <${Slider} id="strength" min=${10} max=${100} step=${10} value=${strength} set=${(/** @type {number} */ to) => (setStrength(to), to)} /></label>
        <div class="row">
          <${Button} id="mask-undo" label="Undo" title="Undo the last stroke (Ctrl+Z)" run=${strokes.undo} />
          <${Button} id="mask-clear" label="Clear" run=${() => edit((all) => all.clear())} />
          <${Button} id="mask-invert" label="Invert" run=${() => edit((all) => all.invert())} />
          <${Button} id="mask-fill" label="Fill" title="Paint all that is not painted, with this strength" run=${() => edit((all) => all.fill(pace))} />
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

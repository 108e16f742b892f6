// The grid of tiles, the line above it, and its largest fit in the room that there is.

import { MODES } from "./commands.js";
import { Button, Check, Icon } from "./controls.js";
import { html, useLayoutEffect, useRef, useState } from "./preact.js";

/** @import { Commands } from "./commands.js" */

const GAP = 8;
const CRAMPED_PX = 130; // smaller tiles have no room for quick buttons
const TINY_PX = 84;
const MIN_PX = 40;
const FULL_ROWS_WORTH = 1.4; // an incomplete last row is accepted if it makes tiles larger by this factor
const WHOLE_PIXELS_WORTH = 0.88; // tiles may shrink to this factor for a whole number of device pixels per pixel
const DOUBLE_CLICK_MS = 300;
const LONG_PRESS_MS = 500;
const WALK = 0.3; // where chains walk that an anneal has brought to rest

/** @param {{commands: Commands}} props */
export function Stage({ commands }) {
  const { store } = commands;
  const { show, rescale, marks } = store.settings.value;
  return html`<section class="stage" aria-label="Chains">
    <div class="view" role="group" aria-label="View">
      ${store.now("replaying") ? html`<${Replay} commands=${commands} />` : html`<${Hint} commands=${commands} />`}
      <fieldset id="show" class="segments"><legend class="unseen">Show</legend>
        ${MODES.map(([mode, label, title]) => html`<label title=${title}>
          <input type="radio" name="show" value=${mode} id=${`show-${mode}`} checked=${show === mode} onChange=${() => store.set({ show: mode })} /><span>${label}</span>
        </label>`)}
      </fieldset>
      <${Check} id="rescale" title="Stretch the contrast of each tile" on=${rescale} set=${(/** @type {boolean} */ on) => store.set({ rescale: on })}>Rescale<//>
      <${Check} id="marks" title="Show which pixels are held (H)" on=${marks} set=${(/** @type {boolean} */ on) => store.set({ marks: on })}>Masks<//>
    </div>
    <${Grid} commands=${commands} />
  </section>`;
}

/** @param {{commands: Commands}} props */
function Replay({ commands: { store } }) {
  const { done, total } = store.now("replaying") ?? { done: 0, total: 1 };
  return html`<div id="replay">
    <label for="replay-progress">Replaying the session</label>
    <progress id="replay-progress" max=${Math.max(1, total)} value=${done}></progress><span id="replay-count">${done} of ${total}</span>
    <button id="replay-stop" type="button" onClick=${() => store.send({ do: "stop" })}>Stop here</button>
  </div>`;
}

/** @param {{commands: Commands}} props what to do next */
function Hint({ commands }) {
  const { store } = commands;
  const picked = store.now("picked");
  const own = picked === null ? 0 : (store.now("tile_levels")[picked] ?? 0);
  if (!store.choosing && own > store.about.min_level && Math.abs(own - store.now("level")) > 0.005) {
    return html`<p id="hint">This picture is at level ${own.toFixed(2)}.</p>
      <${Button} id="use-level" class="small" label=${`Use level ${own.toFixed(2)}`} run=${() => commands.setLevel(own)} />`;
  }
  const resting = store.now("epoch") >= 0 && !store.now("annealing") && store.now("level") <= store.about.min_level + 0.01;
  if (resting) {
    return html`<p id="hint">At level ${store.now("level").toFixed(2)} a step changes next to nothing.</p>
      <${Button} id="walk" class="small" label=${`Walk at ${WALK.toFixed(2)}`} run=${() => commands.walkAt(WALK)} />`;
  }
  return html`<p id="hint">${hintFor(store)}</p>`;
}

/** @param {import("./store.js").Store} store */
function hintFor(store) {
  const picked = store.now("picked");
  if (store.mixing.value !== null) return `Click the tile to mix with tile ${store.mixing.value + 1}. Esc: do not.`;
  if (store.choosing) return `Click the picture you like best; again and again the walk goes your way (${store.now("choices")} chosen). Esc ends it.`;
  const held = store.now("held");
  if (held) return `All tiles keep the ${held.side ? "coarse structure" : "grey values"} of one picture; the rest changes.`;
  if (store.now("running") && store.now("annealing")) return "Annealing: the level decreases and the pictures settle.";
  if (picked === null) {
    if (!store.now("running") && store.now("step") === 0) return "Press Run to begin. Click a picture you like, then Spread.";
    return "Click a picture you like, then Spread: all others continue from it.";
  }
  const tile = `tile ${picked + 1}`;
  if (store.now("locked").includes(picked)) return `The picked ${tile} is locked: it does not change while the others do.`;
  if (store.now("masked").includes(picked)) return `Only the painted pixels of ${tile} change. Spread it for many versions.`;
  return `Spread: all others continue from ${tile}. Keep: put it on the shelf.`;
}

/** @param {{commands: Commands}} props */
function Grid({ commands }) {
  const { store } = commands;
  const { batch, data_shape: [, height, width] } = store.about;
  const [copies, setCopies] = useState(store.settings.value.show === "both" ? 2 : 1); // side by side in a tile
  const [fit, setFit] = useState({ columns: 1, width: MIN_PX, height: MIN_PX });
  const room = /** @type {{current: HTMLElement | null}} */ (useRef(null));
  const tiles = /** @type {{current: HTMLButtonElement[]}} */ (useRef([]));
  const picked = store.now("picked");
  useLayoutEffect(() => store.onFrame((sprite) => {
    setCopies(sprite.width / width);
    tiles.current.forEach((tile, index) => blit(/** @type {HTMLCanvasElement} */ (tile.firstElementChild), sprite, 0, index * height, sprite.width, height));
  }), []);
  useLayoutEffect(() => {
    const element = room.current;
    if (!element) return;
    const layOut = () => {
      const space = { width: element.clientWidth - 2 * GAP, height: element.clientHeight - 2 * GAP };
      const best = fitTiles(space, batch, { width: width * copies, height }, GAP);
      store.columns.value = best.columns;
      setFit(best);
    };
    const observer = new ResizeObserver(layOut);
    observer.observe(element);
    return () => observer.disconnect();
  }, [copies]);
  useLayoutEffect(() => {
    const inside = room.current?.contains(document.activeElement);
    if (inside && picked !== null) tiles.current[picked].focus();
  }, [picked]);
  const sizes = `${fit.width < TINY_PX ? "tiny" : ""} ${Math.min(fit.width, fit.height) < CRAMPED_PX ? "cramped" : ""}`;
  const style = { "--columns": fit.columns, "--tile-width": `${fit.width}px`, "--tile-height": `${fit.height}px` };
  return html`<div class="room" ref=${room}>
    <div id="grid" class=${sizes} style=${style} role="group" aria-label="Tiles. The arrow keys move the pick.">
      ${Array.from({ length: batch }, (_, index) => html`<${Tile} commands=${commands} index=${index} copies=${copies} face=${(/** @type {any} */ face) => (tiles.current[index] = face)} />`)}
    </div>
  </div>`;
}

/** @param {{commands: Commands, index: number, copies: number, face: (face: HTMLButtonElement) => void}} props */
function Tile({ commands, index, copies, face }) {
  const { store } = commands;
  const picked = store.now("picked");
  const locked = store.now("locked").includes(index);
  const masked = store.now("masked").includes(index);
  const press = useRef({ timer: 0, unpick: 0, held: false }).current;
  const release = () => clearTimeout(press.timer);
  /** @param {PointerEvent} event */
  const hold = ({ pointerType }) => {
    press.held = false;
    if (pointerType === "touch") press.timer = setTimeout(() => ((press.held = true), commands.zoom(index)), LONG_PRESS_MS);
  };
  /** @param {MouseEvent} event */
  const click = ({ detail }) => {
    clearTimeout(press.unpick);
    if (press.held || detail > 2) return;
    if (store.choosing || store.mixing.value !== null) return void (detail < 2 && commands.take(index));
    if (detail === 2) commands.spread(index);
    else if (!commands.isPicked(index)) commands.pick(index);
    else if (detail === 0) commands.pick(null);
    else press.unpick = setTimeout(() => commands.isPicked(index) && commands.pick(null), DOUBLE_CLICK_MS);
  };
  const label = [`Tile ${index + 1}`, locked && "locked", masked && "painted"].filter(Boolean).join(", ");
  return html`<div class=${["cell", picked === index && "picked", locked && "locked", masked && "masked"].filter(Boolean).join(" ")}>
    <button type="button" class="tile" ref=${face} data-tile=${index} aria-label=${label} aria-pressed=${picked === index} tabindex=${(picked ?? 0) === index ? 0 : -1}
      onPointerDown=${hold} onPointerUp=${release} onPointerCancel=${release} onPointerLeave=${release} onClick=${click}><canvas></canvas></button>
    ${masked && html`<${Held} text=${store.lists.value.masks.tiles[index]} shape=${store.about.data_shape} copies=${copies} />`}
    <span class="number" aria-hidden="true">${index + 1}</span>
    <span class="marks" aria-hidden="true"><span class="badge badge-lock"><${Icon} name="lock" /></span><span class="badge badge-paint"><${Icon} name="paint" /></span></span>
    <span class="quicks">
      <${Quick} icon="zoom" title="Enlarge this tile" run=${() => commands.zoom(index)} />
      <${Quick} icon="spread" title="Spread from here: all others continue from this picture" run=${() => commands.spread(index)} />
      <${Quick} icon="keep" title="Keep this picture on the shelf" run=${() => commands.keep(index)} />
    </span>
  </div>`;
}

/** @param {{icon: string, title: string, run: () => void}} props */
function Quick({ icon, title, run }) {
  return html`<button type="button" class="quick" tabindex="-1" title=${title} aria-hidden="true" onClick=${run}><${Icon} name=${icon} /></button>`;
}

/** @param {{text?: string, shape: [number, number, number], copies: number}} props the hatching over what a mask holds */
function Held({ text, shape: [, height, width], copies }) {
  const canvas = /** @type {{current: HTMLCanvasElement | null}} */ (useRef(null));
  useLayoutEffect(() => {
    import("./mask.js").then(({ Mask, drawHeld }) => {
      if (canvas.current) drawHeld(canvas.current, text === undefined ? null : Mask.parse(width, height, text), copies);
    });
  }, [text, copies]);
  return html`<canvas class="held" aria-hidden="true" ref=${canvas}></canvas>`;
}

/** @param {{commands: Commands, tile: number, id: string} & Record<string, any>} props the clean picture of a tile, which follows it */
export function TilePicture({ commands: { store }, tile, id, ...rest }) {
  const [, height, width] = store.about.data_shape;
  useLayoutEffect(() => {
    const copy = () => {
      const from = /** @type {HTMLCanvasElement} */ (document.querySelector(`[data-tile="${tile}"] canvas`));
      const to = /** @type {HTMLCanvasElement} */ (document.getElementById(id));
      blit(to, from, from.width - width, 0, width, height);
    };
    copy();
    return store.onFrame(copy);
  }, [tile]);
  return html`<canvas id=${id} ...${rest}></canvas>`;
}

/**
 * Fill a canvas with a part of a picture, pixel by pixel.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {CanvasImageSource} source
 * @param {number} left
 * @param {number} top
 * @param {number} width
 * @param {number} height
 */
function blit(canvas, source, left, top, width, height) {
  const pen = penOf(canvas, width, height, { willReadFrequently: true });
  pen.imageSmoothingEnabled = false;
  pen.globalCompositeOperation = "copy";
  pen.drawImage(source, left, top, width, height, 0, 0, width, height);
}

/**
 * What draws on a canvas, which gets this size; setting a size, even the same, would clear it and cost a layout.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number} width
 * @param {number} height
 * @param {CanvasRenderingContext2DSettings} [settings]
 */
export function penOf(canvas, width, height, settings) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const pen = canvas.getContext("2d", settings);
  if (!pen) throw new Error("this browser does not support canvas drawing");
  return pen;
}

/**
 * @param {{width: number, height: number}} room
 * @param {number} count
 * @param {{width: number, height: number}} tile in pixels of the model
 * @param {number} gap
 * @returns {{columns: number, width: number, height: number}} in CSS pixels
 */
export function fitTiles(room, count, tile, gap) {
  let best = { columns: 1, scale: 0, worth: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const wide = (room.width - gap * (columns - 1)) / columns / tile.width;
    const high = (room.height - gap * (rows - 1)) / rows / tile.height;
    const scale = evenly(Math.min(wide, high));
    const worth = rows * columns === count ? scale * FULL_ROWS_WORTH : scale;
    if (worth > best.worth) best = { columns, scale, worth };
  }
  const least = MIN_PX / Math.min(tile.width, tile.height);
  const scale = Math.max(best.scale, least);
  const columns = best.scale < least ? Math.max(1, Math.floor((room.width + gap) / (tile.width * scale + gap))) : best.columns;
  return { columns, width: tile.width * scale, height: tile.height * scale };
}

/** @param {number} scale */
function evenly(scale) {
  const device = scale * devicePixelRatio;
  const whole = Math.floor(device);
  return whole >= WHOLE_PIXELS_WORTH * device ? whole / devicePixelRatio : scale;
}

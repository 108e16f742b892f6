// The dialog that saves a recording: of which tiles, how large, as what.

import { Button, Check } from "./controls.js";
import { Dialog } from "./dialog.js";
import { html, useState } from "./preact.js";

const SIZES = [64, 128, 256, 512, 1024]; // pixels, at least, of the longer side of a tile in the file
const USUAL = 256;

/** @param {{store: import("./store.js").Store, took: () => void, closed: () => void}} props `took`: called when it is downloaded */
export default function Recording({ store, took, closed }) {
  const { batch, data_shape: [, height, width], max_recording_pixels: most } = store.about;
  const [picked] = useState(store.now("picked"));
  const [tiles, setTiles] = useState(Array.from({ length: batch }, (_, tile) => picked === null || tile === picked));
  const [wanted, setWanted] = useState(USUAL);
  const { frames } = store.now("recording") ?? { frames: 1 };
  const chosen = tiles.flatMap((on, tile) => (on ? [tile] : []));
  const longest = Math.max(height, width);
  const zoomOf = (/** @type {number} */ size) => Math.max(1, Math.ceil(size / longest));
  const fits = (/** @type {number} */ size) => frames * chosen.length * height * width * zoomOf(size) ** 2 <= most;
  const sizes = SIZES.filter((size, i) => i === 0 || (fits(size) && zoomOf(size) > zoomOf(SIZES[i - 1])));
  const size = sizes.includes(wanted) ? wanted : sizes[sizes.length - 1];
  const ready = chosen.length > 0 && fits(size);
  const kinds = /** @type {const} */ (["gif", "mp4"]).filter((kind) => store.about[kind]);
  return html`<${Dialog} id="recording-dialog" label="recording-title" closed=${closed} head=${html`<h2 id="recording-title">Save the recording</h2>`}>
    <p class="muted" id="recording-note">${frames} frames of ${chosen.length} ${chosen.length === 1 ? "tile" : "tiles"}${chosen.length && !ready ? ": too many for one file" : ""}.</p>
    <fieldset id="recording-tiles"><legend class="unseen">Tiles</legend>
      ${tiles.map((on, tile) => html`<${Check} id=${`recording-tile-${tile}`} on=${on} set=${(/** @type {boolean} */ to) => setTiles(tiles.with(tile, to))}>${tile + 1}<//>`)}
    </fieldset>
    <div class="row">
      <${Button} class="small" label="All" run=${() => setTiles(tiles.map(() => true))} />
      <${Button} class="small" label="None" run=${() => setTiles(tiles.map(() => false))} />
      <span class="spring"></span>
      <label class="row">Size of a tile <select id="recording-size" value=${String(size)} onChange=${(/** @type {any} */ event) => setWanted(Number(event.currentTarget.value))}>
        ${sizes.map((one) => html`<option value=${String(one)}>${zoomOf(one) * width} × ${zoomOf(one) * height}</option>`)}</select></label>
    </div>
    <div class="row" style=${{ marginTop: "12px" }}><span class="spring"></span>
      ${kinds.map((kind) => html`<a id=${`recording-${kind}`} class="button primary" aria-disabled=${!ready} href=${ready ? `/api/recording.${kind}?tiles=${chosen.join()}&zoom=${zoomOf(size)}` : undefined} download=${`recording.${kind}`} onClick=${took}>${kind.toUpperCase()}</a>`)}</div>
  <//>`;
}

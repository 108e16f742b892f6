// Full screen, without any control: the chains, walking, or the pictures of the shelf one after another.

import { Dialog } from "./dialog.js";
import { fitTiles, TilePicture } from "./grid.js";
import { html, useEffect, useState } from "./preact.js";
import { keptPicture } from "./strips.js";

/** @import { Commands } from "./commands.js" */

const WALK = 0.3; // the level at which chains walk
const ANNEAL_MS = 60_000; // from one anneal to the next
const REST_MS = 6000; // how long its pictures stay
const SLIDE_MS = 4000;
const HINT_MS = 4000;
const GAP = 8;

/** @param {{commands: Commands, kind: "kiosk" | "slides", closed: () => void}} props */
export default function Show({ commands, kind, closed }) {
  const [hinted, setHinted] = useState(true);
  const end = () => /** @type {HTMLDialogElement | null} */ (document.getElementById("show-dialog"))?.close();
  useEffect(() => {
    const left = () => document.fullscreenElement ?? end();
    const timer = setTimeout(() => setHinted(false), HINT_MS);
    document.documentElement.requestFullscreen?.().then(() => document.addEventListener("fullscreenchange", left), () => {});
    return () => {
      clearTimeout(timer);
      document.removeEventListener("fullscreenchange", left);
      if (document.fullscreenElement) document.exitFullscreen();
    };
  }, []);
  const title = kind === "kiosk" ? "The chains in full screen" : "Slideshow of the shelf";
  return html`<${Dialog} id="show-dialog" label="show-title" closed=${closed} keyed=${(/** @type {KeyboardEvent} */ event) => event.repeat || (event.preventDefault(), end())} onPointerDown=${end}>
    <h2 id="show-title" class="unseen">${title}</h2>
    ${kind === "kiosk" ? html`<${Kiosk} commands=${commands} />` : html`<${Slides} commands=${commands} />`}
    ${hinted && html`<p id="show-hint">A key, click or touch ends this.</p>`}
  <//>`;
}

/** @param {{commands: Commands}} props the chains: they walk, and each minute an anneal brings them to rest */
function Kiosk({ commands }) {
  const { store } = commands;
  const { batch, data_shape: [, height, width] } = store.about;
  const [room, setRoom] = useState({ width: innerWidth, height: innerHeight });
  const running = store.now("running");
  useEffect(() => {
    const resized = () => setRoom({ width: innerWidth, height: innerHeight });
    commands.walkAt(WALK);
    const timer = setInterval(() => commands.anneal(), ANNEAL_MS);
    addEventListener("resize", resized);
    return () => (clearInterval(timer), removeEventListener("resize", resized));
  }, []);
  useEffect(() => {
    const timer = running ? 0 : setTimeout(() => commands.walkAt(WALK), REST_MS);
    return () => clearTimeout(timer);
  }, [running]);
  const fit = fitTiles({ width: room.width - 2 * GAP, height: room.height - 2 * GAP }, batch, { width, height }, GAP);
  const style = { "--columns": fit.columns, "--tile-width": `${fit.width}px`, "--tile-height": `${fit.height}px` };
  return html`<div id="show-grid" style=${style} aria-hidden="true">
    ${Array.from({ length: batch }, (_, tile) => html`<${TilePicture} id=${`show-${tile}`} tile=${tile} commands=${commands} />`)}
  </div>`;
}

/** @param {{commands: Commands}} props */
function Slides({ commands: { store } }) {
  const { items } = store.lists.value.shelf;
  const [shown, setShown] = useState(0);
  useEffect(() => {
    const timer = setTimeout(() => setShown(shown + 1), SLIDE_MS);
    return () => clearTimeout(timer);
  }, [shown]);
  const item = items[shown % Math.max(1, items.length)];
  return item && html`<img id="show-picture" src=${keptPicture(item.id, store.session)} alt=${item.name} />`;
}

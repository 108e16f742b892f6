// The dialog that shows the picked tile large, while it walks, and in turn with the one that was picked before.

import { isOff } from "./commands.js";
import { Button, RunButton, Solo } from "./controls.js";
import { closeDialog, Dialog } from "./dialog.js";
import { TilePicture } from "./grid.js";
import { html, useEffect, useState } from "./preact.js";

/** @param {{commands: import("./commands.js").Commands, closed: () => void}} props */
export default function Zoom({ commands, closed }) {
  const { store } = commands;
  const [, height, width] = store.about.data_shape;
  const tile = store.now("picked");
  const { before } = commands;
  const [flipped, flip] = useState(false);
  useEffect(() => {
    if (tile === null) closeDialog("zoom-dialog");
    flip(false);
  }, [tile]);
  /** @param {KeyboardEvent} event T: as long as it is held, the other tile */
  const press = (event) => {
    if (event.key.toLowerCase() !== "t" || event.ctrlKey || event.metaKey || isOff(commands, event)) return;
    event.preventDefault();
    flip(event.type === "keydown" && before !== null);
  };
  const shown = (flipped ? before : tile) ?? 0;
  const head = html`<h2 id="zoom-title">Tile ${shown + 1}</h2><${Solo} id="zoom-solo" commands=${commands} />`;
  return html`<${Dialog} id="zoom-dialog" label="zoom-title" closed=${closed} head=${head} keyed=${press} onKeyUp=${press}>
    <${TilePicture} id="zoom-picture" tile=${shown} commands=${commands} style=${{ "--aspect": width / height }} tabindex="0" autofocus=${true} role="img" aria-labelledby="zoom-title" />
    <div class="row">
      <${RunButton} id="zoom-run" commands=${commands} />
      <${Button} id="zoom-spread" class="primary wide" icon="spread" label="Spread" letter="S" run=${() => commands.spread()} />
      <${Button} id="zoom-keep" icon="keep" label="Keep" letter="K" run=${() => commands.keep()} />
      <${Button} id="zoom-paint" icon="paint" label="Paint" letter="P" run=${() => commands.paint()} />
    </div>
    <div class="row">
      <${Button} id="zoom-flip" label=${before === null ? "Compare" : `Tile ${before + 1}`} letter="T" disabled=${before === null} aria-pressed=${flipped} title="In turn with the tile that was picked before; T: as long as it is held" run=${() => flip(!flipped)} />
      <${Button} id="zoom-full" label="Full screen" letter="W" title="All chains in full screen: they walk, and each minute an anneal brings them to rest (W)" run=${() => (closeDialog("zoom-dialog"), commands.show("kiosk"))} />
    </div>
  <//>`;
}

// The dialog that shows the picked tile large, while it walks.

import { Button, RunButton, Solo } from "./controls.js";
import { closeDialog, Dialog } from "./dialog.js";
import { TilePicture } from "./grid.js";
import { html, useEffect } from "./preact.js";

/** @param {{commands: import("./commands.js").Commands, closed: () => void}} props */
export default function Zoom({ commands, closed }) {
  const { store } = commands;
  const [, height, width] = store.about.data_shape;
  const tile = store.now("picked");
  useEffect(() => {
    if (tile === null) closeDialog("zoom-dialog");
  }, [tile]);
  const head = html`<h2 id="zoom-title">Tile ${(tile ?? 0) + 1}</h2><${Solo} id="zoom-solo" commands=${commands} />`;
  return html`<${Dialog} id="zoom-dialog" label="zoom-title" closed=${closed} head=${head}>
    <${TilePicture} id="zoom-picture" tile=${tile ?? 0} commands=${commands} style=${{ "--aspect": width / height }} tabindex="0" autofocus=${true} role="img" aria-labelledby="zoom-title" />
    <div class="row">
      <${RunButton} id="zoom-run" commands=${commands} />
      <${Button} id="zoom-spread" class="primary wide" icon="spread" label="Spread" letter="S" run=${() => commands.spread()} />
      <${Button} id="zoom-keep" icon="keep" label="Keep" letter="K" run=${() => commands.keep()} />
      <${Button} id="zoom-paint" icon="paint" label="Paint" letter="P" run=${() => commands.paint()} />
    </div>
  <//>`;
}

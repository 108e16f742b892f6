// The dialog that shows a kept picture in full size.

import { isOff } from "./commands.js";
import { Button, Icon } from "./controls.js";
import { closeDialog, Dialog } from "./dialog.js";
import { html, useEffect, useState } from "./preact.js";
import { keptPicture, moveKept, removeKept } from "./strips.js";

const NONE = { id: -1, name: "", tile: 0, step: 0, level: 0 };

/** @param {{commands: import("./commands.js").Commands, kept: number, closed: () => void}} props */
export default function Viewer({ commands, kept, closed }) {
  const { items } = commands.store.lists.value.shelf;
  const [shown, show] = useState(kept);
  const index = items.findIndex(({ id }) => id === shown);
  const item = items[index] ?? NONE;
  const { id, name, tile, step, level } = item;
  useEffect(() => {
    if (index < 0) closeDialog("viewer-dialog");
  }, [index]);
  const address = keptPicture(id, commands.store.session);
  /** @param {number} way */
  const browse = (way) => index + way in items && show(items[index + way].id);
  /** @param {() => void} run */
  const leave = (run) => () => (closeDialog("viewer-dialog"), run());
  /** @param {KeyboardEvent} event */
  const press = (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key.toLowerCase() === "u" && !isOff(commands, event)) commands.setLevel(level);
    if (way === undefined) return;
    event.preventDefault();
    if (event.altKey) moveKept(commands, id, way);
    else browse(way);
  };
  const [first, last] = [index <= 0, index === items.length - 1];
  return html`<${Dialog} id="viewer-dialog" label="viewer-name" closed=${closed} keyed=${press} head=${html`<h2 id="viewer-name">${name}</h2>`}>
    <img id="viewer-picture" src=${index < 0 ? undefined : address} alt=${name} />
    <div class="row">
      <${Button} id="viewer-left" class="quiet" icon="left" disabled=${first} aria-label="Previous picture" title="Previous picture (arrow left)" run=${() => browse(-1)} />
      <p class="muted" id="viewer-about">Tile ${tile + 1}, step ${step}, noise level ${level.toFixed(2)}. ${index + 1} of ${items.length} on the shelf.</p>
      <${Button} id="viewer-right" class="quiet" icon="right" disabled=${last} aria-label="Next picture" title="Next picture (arrow right)" run=${() => browse(1)} />
    </div>
    <div class="row viewer-actions">
      <${Button} id="viewer-move-left" class="" label="Move left" disabled=${first} title="Move it to the left on the shelf (Alt and arrow left)" run=${() => moveKept(commands, id, -1)} />
      <${Button} id="viewer-move-right" class="" label="Move right" disabled=${last} title="Move it to the right on the shelf (Alt and arrow right)" run=${() => moveKept(commands, id, 1)} />
      <${Button} id="viewer-level" class="" label=${`Use level ${level.toFixed(2)}`} title="The next steps go to the level of this picture (U)" run=${() => commands.setLevel(level)} />
      <${Button} id="viewer-slides" class="" icon="run" label="Slideshow" title="All pictures of the shelf, in full screen" run=${leave(() => commands.show("slides"))} />
      <span class="spring"></span>
      <${Button} id="viewer-start" class="" icon="image" label="Start from it" title="Start the picked tile, or all, from this picture" run=${leave(() => commands.startFrom(address))} />
      <${Button} id="viewer-remove" class="" label="Remove" run=${leave(() => removeKept(commands, item))} />
      <a id="viewer-download" class="button primary" href=${`${address}&download=1`} download=${`${name}.png`}><${Icon} name="save" />Download</a>
    </div>
  <//>`;
}

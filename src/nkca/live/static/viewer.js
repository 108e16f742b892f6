// The dialog that shows a kept picture in full size.

import { block, button, dialog, find, setText } from "./dom.js";

/** @typedef {import("./types.js").Kept} Kept */

export class Viewer {
  /** @param {{items: () => Kept[], address: (id: number) => string, move: (id: number, way: number) => void, remove: (kept: Kept) => void, start: (address: string) => void}} actions */
  constructor(actions) {
    this.actions = actions;
    this.dialog = dialog("viewer-dialog");
    this.id = 0;
    button("viewer-left").addEventListener("click", () => this.#browse(-1));
    button("viewer-right").addEventListener("click", () => this.#browse(1));
    button("viewer-move-left").addEventListener("click", () => actions.move(this.id, -1));
    button("viewer-move-right").addEventListener("click", () => actions.move(this.id, 1));
    button("viewer-remove").addEventListener("click", () => this.#remove());
    button("viewer-start").addEventListener("click", () => this.#leave(() => actions.start(actions.address(this.id))));
    this.dialog.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @param {number} id */
  open(id) {
    this.id = id;
    this.update(this.actions.items());
    if (!this.dialog.open) this.dialog.showModal();
  }

  /** @param {Kept[]} items */
  update(items) {
    const index = items.findIndex((item) => item.id === this.id);
    if (index < 0) return this.dialog.close();
    const { id, name, tile, step, level } = items[index];
    setText(block("viewer-name"), name);
    setText(block("viewer-about"), `Tile ${tile + 1}, step ${step}, noise level ${level.toFixed(2)}. ${index + 1} of ${items.length} on the shelf.`);
    const picture = find("viewer-picture", HTMLImageElement);
    const address = this.actions.address(id);
    if (picture.getAttribute("src") !== address) picture.src = address;
    picture.alt = name;
    const link = find("viewer-download", HTMLAnchorElement);
    link.href = `${address}&download=1`;
    link.download = `${name}.png`;
    for (const id of ["viewer-left", "viewer-move-left"]) button(id).disabled = index === 0;
    for (const id of ["viewer-right", "viewer-move-right"]) button(id).disabled = index === items.length - 1;
  }

  #remove() {
    const kept = this.actions.items().find((item) => item.id === this.id);
    if (kept) this.#leave(() => this.actions.remove(kept));
  }

  /** @param {number} way */
  #browse(way) {
    const items = this.actions.items();
    const next = items[items.findIndex((item) => item.id === this.id) + way];
    if (next) this.open(next.id);
  }

  /** @param {() => void} run */
  #leave(run) {
    this.dialog.close();
    run();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (way === undefined) return;
    event.preventDefault();
    if (event.altKey) this.actions.move(this.id, way);
    else this.#browse(way);
  }
}

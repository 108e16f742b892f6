// A kept picture, large.

import { block, button, dialog, find, setText } from "./dom.js";

/** @typedef {import("./types.js").Kept} Kept */

export class Look {
  /** @param {{items: () => Kept[], address: (id: number) => string, move: (id: number, way: number) => void, remove: (kept: Kept) => void, start: (address: string) => void}} does */
  constructor(does) {
    this.does = does;
    this.dialog = dialog("look-dialog");
    this.id = 0;
    button("look-left").addEventListener("click", () => this.#browse(-1));
    button("look-right").addEventListener("click", () => this.#browse(1));
    button("look-move-left").addEventListener("click", () => does.move(this.id, -1));
    button("look-move-right").addEventListener("click", () => does.move(this.id, 1));
    button("look-remove").addEventListener("click", () => this.#remove());
    button("look-start").addEventListener("click", () => this.#leave(() => does.start(does.address(this.id))));
    this.dialog.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @param {number} id */
  open(id) {
    this.id = id;
    this.update(this.does.items());
    if (!this.dialog.open) this.dialog.showModal();
  }

  /** @param {Kept[]} items */
  update(items) {
    const index = items.findIndex((item) => item.id === this.id);
    if (index < 0) return this.dialog.close();
    const { id, name, tile, step, level } = items[index];
    setText(block("look-name"), name);
    setText(block("look-about"), `Tile ${tile + 1}, step ${step}, noise level ${level.toFixed(2)}. ${index + 1} of ${items.length} on the shelf.`);
    const picture = find("look-picture", HTMLImageElement);
    const address = this.does.address(id);
    if (picture.getAttribute("src") !== address) picture.src = address;
    picture.alt = name;
    const link = find("look-download", HTMLAnchorElement);
    link.href = `${address}&download=1`;
    link.download = `${name}.png`;
    for (const id of ["look-left", "look-move-left"]) button(id).disabled = index === 0;
    for (const id of ["look-right", "look-move-right"]) button(id).disabled = index === items.length - 1;
  }

  #remove() {
    const kept = this.does.items().find((item) => item.id === this.id);
    if (kept) this.#leave(() => this.does.remove(kept));
  }

  /** @param {number} way */
  #browse(way) {
    const items = this.does.items();
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
    if (event.altKey) this.does.move(this.id, way);
    else this.#browse(way);
  }
}

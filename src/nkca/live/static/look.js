// A kept picture, large.

import { block, button, dialog, find, setText } from "./dom.js";

/** @typedef {import("./types.js").Kept} Kept */

export class Look {
  /** @param {{items: () => Kept[], address: (id: number) => string, move: (id: number, way: number) => void, remove: (id: number) => void, start: (address: string) => void}} does */
  constructor(does) {
    this.does = does;
    this.dialog = dialog("look-dialog");
    this.id = 0;
    button("look-left").addEventListener("click", () => does.move(this.id, -1));
    button("look-right").addEventListener("click", () => does.move(this.id, 1));
    button("look-remove").addEventListener("click", () => this.#leave(() => does.remove(this.id)));
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
    button("look-left").disabled = index === 0;
    button("look-right").disabled = index === items.length - 1;
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
    if (event.altKey) return this.does.move(this.id, way);
    const items = this.does.items();
    const next = items[items.findIndex((item) => item.id === this.id) + way];
    if (next) this.open(next.id);
  }
}

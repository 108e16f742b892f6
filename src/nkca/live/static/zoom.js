// The dialog that shows the picked tile large, while it walks.

import { block, button, canvas, dialog, setText } from "./dom.js";

/**
 * @typedef {import("./store.js").Store} Store
 * @typedef {import("./commands.js").Commands} Commands
 */

export class Zoom {
  #dialog = dialog("zoom-dialog");

  /**
   * @param {Store} store
   * @param {Commands} commands
   * @param {import("./grid.js").Grid} grid
   */
  constructor(store, commands, grid) {
    this.store = store;
    this.grid = grid;
    block("zoom-picture").style.setProperty("--aspect", String(grid.size.width / grid.size.height));
    button("zoom-spread").addEventListener("click", () => commands.spread());
    button("zoom-keep").addEventListener("click", () => commands.keep());
    button("zoom-paint").addEventListener("click", () => commands.paint());
  }

  open() {
    if (!this.#dialog.open) this.#dialog.showModal();
    this.update();
  }

  /** The tile that it shows, if it is open. */
  get tile() {
    return this.#dialog.open ? (this.store.head?.picked ?? null) : null;
  }

  draw() {
    if (this.tile !== null) this.grid.copyTo(this.tile, canvas("zoom-picture"));
  }

  update() {
    if (this.tile === null) return this.#dialog.close();
    setText(block("zoom-title"), `Tile ${this.tile + 1}`);
    this.draw();
  }
}

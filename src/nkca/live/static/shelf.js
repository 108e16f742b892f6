// The shelf of kept pictures: view, reorder, download.

import { keptPicture } from "./api.js";
import { block, button, find, make, reconcile, setAttribute, setLabel, setText } from "./dom.js";
import { startReorder } from "./reorder.js";
import { startRoving } from "./roving.js";

/**
 * @typedef {import("./store.js").Store} Store
 * @typedef {import("./commands.js").Commands} Commands
 * @typedef {import("./viewer.js").Viewer} Viewer
 * @typedef {import("./types.js").Kept} Kept
 * @typedef {import("./thumbnails.js").Thumbnails} Thumbnails
 */

export class Shelf {
  /**
   * @param {Store} store
   * @param {Commands} commands
   * @param {Viewer} viewer
   * @param {Thumbnails} thumbnails
   */
  constructor(store, commands, viewer, thumbnails) {
    this.store = store;
    this.commands = commands;
    this.viewer = viewer;
    this.thumbnails = thumbnails;
    this.list = block("shelf");
    this.shown = "";
    this.count = 0;
    startRoving(this.list);
    startReorder(this.list, (item, to) => store.send({ do: "move", item, to }));
    button("shelf-restore").addEventListener("click", () => {
      const newest = store.lists.shelf.removed_items?.at(-1);
      if (newest !== undefined) commands.restore(newest);
    });
  }

  update() {
    const { shelf } = this.store.lists;
    const now = `${this.store.session} ${shelf.version}`;
    if (now === this.shown) return;
    this.shown = now;
    reconcile(this.list, this.store.session, shelf.items, (item) => this.#item(item));
    this.#showCount(shelf.items.length);
    this.#showRemoved(shelf.removed, Boolean(shelf.removed_items?.length));
    this.viewer.update(shelf.items);
  }

  /** @param {number} count */
  #showCount(count) {
    setText(block("shelf-count"), count ? String(count) : "");
    setLink("shelf-grid", "/api/shelf.png", count > 0);
    setLink("shelf-zip", "/api/shelf.zip", count > 0);
    if (count > this.count) this.list.scrollLeft = this.list.scrollWidth;
    this.count = count;
  }

  /**
   * @param {number} count
   * @param {boolean} possible
   */
  #showRemoved(count, possible) {
    const restore = button("shelf-restore");
    restore.hidden = !count;
    restore.disabled = !possible;
    setLabel(restore, `${count} removed · put back`);
    setAttribute(restore, "title", `${count} removed: put back the last one`);
  }

  /** @param {Kept} kept */
  #item(kept) {
    const picture = this.thumbnails.make(keptPicture(kept.id, this.store.session));
    const name = `${kept.name}: tile ${kept.tile + 1}, step ${kept.step}, level ${kept.level.toFixed(2)}`;
    const button = make("button", { type: "button", class: "kept", title: name, "aria-label": name }, picture);
    button.addEventListener("click", () => this.viewer.open(kept.id));
    const item = make("li", { "data-id": String(kept.id) }, button);
    item.addEventListener("keydown", (event) => this.#key(event, kept));
    return item;
  }

  /**
   * @param {KeyboardEvent} event
   * @param {Kept} kept
   */
  #key(event, kept) {
    const way = event.altKey ? { ArrowLeft: -1, ArrowRight: 1 }[event.key] : undefined;
    const removes = event.key === "Delete" || event.key === "Backspace";
    if (way === undefined && !removes) return;
    event.preventDefault();
    if (removes) this.commands.remove(kept);
    else this.move(kept.id, way ?? 0);
  }

  /**
   * @param {number} id
   * @param {number} way
   */
  move(id, way) {
    const { items } = this.store.lists.shelf;
    const to = items.findIndex((item) => item.id === id) + way;
    if (to >= 0 && to < items.length) this.store.send({ do: "move", item: id, to });
  }
}

/**
 * @param {string} id of a link
 * @param {string} address
 * @param {boolean} possible
 */
function setLink(id, address, possible) {
  const link = find(id, HTMLAnchorElement);
  if (possible) link.href = address;
  else link.removeAttribute("href");
  setAttribute(link, "aria-disabled", String(!possible));
}

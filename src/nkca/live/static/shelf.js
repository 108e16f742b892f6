// The shelf of kept pictures: look at them, order them, take them along.

import { keptPicture } from "./api.js";
import { block, button, find, make, reconcile, setAttribute, setLabel, setText } from "./dom.js";
import { startReorder } from "./reorder.js";
import { startRoving } from "./roving.js";

/**
 * @typedef {import("./desk.js").Desk} Desk
 * @typedef {import("./commands.js").Commands} Commands
 * @typedef {import("./look.js").Look} Look
 * @typedef {import("./types.js").Kept} Kept
 * @typedef {import("./thumbnails.js").Thumbnails} Thumbnails
 */

export class Shelf {
  /**
   * @param {Desk} desk
   * @param {Commands} commands
   * @param {Look} look
   * @param {Thumbnails} thumbnails
   */
  constructor(desk, commands, look, thumbnails) {
    this.desk = desk;
    this.commands = commands;
    this.look = look;
    this.thumbnails = thumbnails;
    this.list = block("shelf");
    this.shown = "";
    this.count = 0;
    startRoving(this.list);
    startReorder(this.list, (item, to) => desk.send({ do: "move", item, to }));
    button("shelf-restore").addEventListener("click", () => {
      const newest = desk.lists.shelf.removed_items?.at(-1);
      if (newest !== undefined) commands.restore(newest);
    });
  }

  update() {
    const { shelf } = this.desk.lists;
    const now = `${this.desk.session} ${shelf.version}`;
    if (now === this.shown) return;
    this.shown = now;
    reconcile(this.list, this.desk.session, shelf.items, (item) => this.#item(item));
    this.#tell(shelf.items.length);
    this.#offerRemoved(shelf.removed, Boolean(shelf.removed_items?.length));
    this.look.update(shelf.items);
  }

  /** @param {number} count */
  #tell(count) {
    setText(block("shelf-count"), count ? String(count) : "");
    offer("shelf-grid", "/api/shelf.png", count > 0);
    offer("shelf-zip", "/api/shelf.zip", count > 0);
    if (count > this.count) this.list.scrollLeft = this.list.scrollWidth;
    this.count = count;
  }

  /**
   * @param {number} count
   * @param {boolean} possible
   */
  #offerRemoved(count, possible) {
    const restore = button("shelf-restore");
    restore.hidden = !count;
    restore.disabled = !possible;
    setLabel(restore, `${count} removed · put back`);
    setAttribute(restore, "title", `${count} removed: put back the last one`);
  }

  /** @param {Kept} kept */
  #item(kept) {
    const picture = this.thumbnails.make(keptPicture(kept.id, this.desk.session));
    const name = `${kept.name}: tile ${kept.tile + 1}, step ${kept.step}, level ${kept.level.toFixed(2)}`;
    const button = make("button", { type: "button", class: "kept", title: name, "aria-label": name }, picture);
    button.addEventListener("click", () => this.look.open(kept.id));
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
    const { items } = this.desk.lists.shelf;
    const to = items.findIndex((item) => item.id === id) + way;
    if (to >= 0 && to < items.length) this.desk.send({ do: "move", item: id, to });
  }
}

/**
 * @param {string} id of a link
 * @param {string} address
 * @param {boolean} possible
 */
function offer(id, address, possible) {
  const link = find(id, HTMLAnchorElement);
  if (possible) link.href = address;
  else link.removeAttribute("href");
  setAttribute(link, "aria-disabled", String(!possible));
}

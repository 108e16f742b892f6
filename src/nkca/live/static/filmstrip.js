// The film strip of stored moments; a click goes to one.

import { momentPicture } from "./api.js";
import { block, make, reconcile, setAttribute } from "./dom.js";
import { startRoving } from "./roving.js";

/**
 * @typedef {import("./store.js").Store} Store
 * @typedef {import("./types.js").Entry} Entry
 * @typedef {import("./types.js").History} History
 */

const NOW = -1;

export class Filmstrip {
  /**
   * @param {Store} store
   * @param {import("./thumbnails.js").Thumbnails} thumbnails
   */
  constructor(store, thumbnails) {
    this.list = block("filmstrip");
    this.store = store;
    this.thumbnails = thumbnails;
    startRoving(this.list);
    this.shown = "";
  }

  update() {
    const { history } = this.store.lists;
    const now = `${this.store.session} ${history.version}`;
    if (now === this.shown) return;
    this.shown = now;
    const { entries, position } = history;
    const items = [...entries.slice(0, position), { id: NOW }, ...entries.slice(position)];
    reconcile(this.list, this.store.session, items, (item) => ("label" in item ? this.#frame(item) : nowMark()));
    items.forEach((item, i) => this.#describe(this.list.children[i], item, i > position));
    this.#scrollToNow(position);
  }

  /** @param {Entry} entry */
  #frame(entry) {
    const picture = this.thumbnails.make(momentPicture(entry.id, this.store.session));
    const button = make("button", { type: "button", class: "frame" }, picture, make("span", {}, nameOf(entry)));
    button.addEventListener("click", () => this.store.send({ do: "jump", to: entry.id }));
    return make("li", {}, button);
  }

  /**
   * @param {Element} child
   * @param {Entry | {id: number}} item
   * @param {boolean} future
   */
  #describe(child, item, future) {
    if (!("label" in item)) return;
    const button = /** @type {Element} */ (child.firstElementChild);
    const text = `${item.label}, step ${item.step}, level ${item.level.toFixed(2)}`;
    setAttribute(button, "title", text);
    setAttribute(button, "aria-label", `Go to: ${text}${future ? " (undone)" : ""}`);
    child.classList.toggle("minor", item.automatic);
    child.classList.toggle("future", future);
  }

  /** @param {number} position */
  #scrollToNow(position) {
    const mark = /** @type {HTMLElement} */ (this.list.children[position]);
    const end = mark.offsetLeft + mark.offsetWidth;
    this.list.scrollLeft = Math.max(0, end - this.list.clientWidth * (this.list.children.length - 1 > position ? 0.6 : 1));
  }
}

function nowMark() {
  return make("li", { class: "now", "aria-current": "step" }, make("span", {}, "now"));
}

/** @param {Entry} entry */
function nameOf({ automatic, step, label }) {
  return automatic ? `step ${step}` : label.replace(/ (from|tile)(?= )/g, "");
}

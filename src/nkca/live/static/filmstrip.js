// The strip of past moments; click one to go there.

import { momentPicture } from "./api.js";
import { block, make, reconcile, setAttribute } from "./dom.js";
import { startRoving } from "./roving.js";

/**
 * @typedef {import("./desk.js").Desk} Desk
 * @typedef {import("./types.js").Entry} Entry
 * @typedef {import("./types.js").History} History
 */

const NOW = -1;

export class Filmstrip {
  /**
   * @param {Desk} desk
   * @param {import("./thumbnails.js").Thumbnails} thumbnails
   */
  constructor(desk, thumbnails) {
    this.list = block("filmstrip");
    this.desk = desk;
    this.thumbnails = thumbnails;
    startRoving(this.list);
    this.shown = "";
  }

  update() {
    const { history } = this.desk.lists;
    const now = `${this.desk.session} ${history.version}`;
    if (now === this.shown) return;
    this.shown = now;
    const { entries, position } = history;
    const items = [...entries.slice(0, position), { id: NOW }, ...entries.slice(position)];
    reconcile(this.list, this.desk.session, items, (item) => ("label" in item ? this.#frame(item) : nowMark()));
    items.forEach((item, i) => this.#tell(this.list.children[i], item, i > position));
    this.#scrollToNow(position);
  }

  /** @param {Entry} entry */
  #frame(entry) {
    const address = momentPicture(entry.id, this.desk.session);
    const picture = isPick(entry) ? make("span", { class: "dot" }) : this.thumbnails.make(address);
    const button = make("button", { type: "button", class: "frame" }, picture, make("span", {}, nameOf(entry)));
    button.addEventListener("click", () => this.desk.send({ do: "jump", to: entry.id }));
    return make("li", {}, button);
  }

  /**
   * @param {Element} child
   * @param {Entry | {id: number}} item
   * @param {boolean} future
   */
  #tell(child, item, future) {
    if (!("label" in item)) return;
    const button = /** @type {Element} */ (child.firstElementChild);
    const text = `${item.label}, step ${item.step}, level ${item.level.toFixed(2)}`;
    setAttribute(button, "title", text);
    setAttribute(button, "aria-label", `Go to: ${text}${future ? " (undone)" : ""}`);
    child.classList.toggle("minor", item.automatic || isPick(item));
    child.classList.toggle("future", future);
  }

  /** @param {number} position */
  #scrollToNow(position) {
    const mark = /** @type {HTMLElement} */ (this.list.children[position]);
    const end = mark.offsetLeft + mark.offsetWidth;
    this.list.scrollLeft = Math.max(0, end - this.list.clientWidth * (this.list.children.length - 1 > position ? 0.6 : 1));
  }
}

/** @param {Entry} entry whose pictures are those of its neighbour, if it is a pick */
function isPick({ label }) {
  return label.startsWith("pick");
}

function nowMark() {
  return make("li", { class: "now", "aria-current": "step" }, make("span", {}, "now"));
}

/** @param {Entry} entry */
function nameOf({ automatic, step, label }) {
  return automatic ? `step ${step}` : label.replace(/ (from|tile)(?= )/g, "");
}

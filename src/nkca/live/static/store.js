// The state of the page, and the only way to change it; notifies the views of every change.

import { takeTurn } from "./api.js";
import { withPending } from "./optimistic.js";
import { Loop } from "./loop.js";
import { tabMemory } from "./memory.js";

/**
 * @typedef {import("./types.js").About} About
 * @typedef {import("./types.js").ChainEvent} ChainEvent
 * @typedef {import("./types.js").Head} Head
 * @typedef {import("./types.js").Lists} Lists
 * @typedef {import("./types.js").Reply} Reply
 * @typedef {import("./types.js").Show} Show
 * @typedef {{show: Show, rescale: boolean, stride: number, limit: number, marks: boolean, solo: boolean}} Settings
 *
 * @typedef {object} Handlers
 * @property {(message: string) => void} refused
 * @property {(message: string) => void} failed
 * @property {(error: import("./api.js").ServerError | null) => void} lost null: the server is back
 * @property {() => void} renewed there is another session, or perhaps another server
 * @property {() => void} replaced there is another session, which this page has not opened
 *
 * @typedef {object} View
 * @property {(picture: ImageBitmap, store: Store) => void} [draw] called with a new frame
 * @property {(store: Store) => void} [update] called after any change
 * @property {(head: Head) => void} [receive] called with a new head, with or without a frame
 */

const PAGE = Date.now();
const KEY = "nkca-view";

/** @type {Lists} */
const NOTHING = {
  history: { version: 0, position: 0, entries: [] },
  shelf: { version: 0, items: [], removed: 0 },
  masks: { version: 0, tiles: {} },
};

export class Store {
  /** @type {Head | null} */
  #latest = null;
  #sessions = 0;
  #uncertain = false; // whether the server may have been restarted
  /** @type {{version: number, show: Show, rescale: boolean} | null} */
  #frame = null;
  /** @type {View[]} */
  #views = [];
  lists = NOTHING;
  opening = false; // whether this page is opening a session
  /** @type {() => number | null} */
  enlarged = () => null; // the tile that a dialog shows

  /**
   * @param {About} about
   * @param {Handlers} handlers
   */
  constructor(about, handlers) {
    this.about = about;
    this.handlers = handlers;
    /** @type {Settings} */
    this.settings = { show: about.show, rescale: about.rescale, stride: 1, limit: Infinity, marks: true, solo: true, ...recall() };
    this.loop = new Loop({
      ask: (events, steps, signal) => this.#ask(events, steps, signal),
      receive: (reply) => this.#receive(reply),
      pace: () => this.settings,
      changed: () => this.#update(),
      refused: handlers.refused,
      failed: handlers.failed,
      lost: (error) => this.#lost(error),
    });
  }

  /** The newest head, as it will be once the pending events are applied. */
  get head() {
    return this.#latest && withPending(this.#latest, this.loop.pending);
  }

  /** The newest head and lists, as the server sent them. */
  get state() {
    return this.#latest && { ...this.#latest, ...this.lists };
  }

  /** The one tile that steps move; null: all. */
  get only() {
    return this.settings.solo ? this.enlarged() : null;
  }

  /** Identifies the session; ids and versions are unique only within one. */
  get session() {
    return `${PAGE}-${this.#sessions}`;
  }

  /** The version of the frame on the screen. */
  get onScreen() {
    return this.#frame ? this.#frame.version : -1;
  }

  /** @param {View[]} views */
  subscribe(...views) {
    this.#views.push(...views);
  }

  /**
   * @param {ChainEvent[]} events
   * @returns {Promise<boolean>} whether the server has applied them
   */
  send(...events) {
    return this.loop.send(...events);
  }

  /**
   * Discard the frame and lists of the previous session.
   *
   * @param {boolean} other whether the epoch has changed
   */
  #forget(other) {
    if (other && !this.opening) this.handlers.replaced();
    if (other) this.opening = false;
    this.#uncertain = false;
    this.#sessions += 1;
    this.#frame = null;
    this.lists = NOTHING;
    this.handlers.renewed();
  }

  /** @param {import("./api.js").ServerError | null} error */
  #lost(error) {
    this.#uncertain ||= error !== null;
    this.handlers.lost(error);
  }

  /**
   * Whether the head may belong to another session than the last one.
   *
   * @param {Head} head
   */
  #renewed(head) {
    const latest = this.#latest;
    return latest !== null && (this.#uncertain || latest.epoch !== head.epoch || latest.version > head.version);
  }

  /** @param {Partial<Settings>} settings */
  set(settings) {
    Object.assign(this.settings, settings);
    tabMemory.remember(KEY, JSON.stringify({ ...this.settings, limit: String(this.settings.limit) }));
    this.#update();
    if (this.#seen() < 0) this.loop.refresh();
    else this.loop.nudge();
  }

  /** The version of the frame on the screen if it has the wanted settings; -1: none. */
  #seen() {
    const { show, rescale } = this.settings;
    const frame = this.#uncertain ? null : this.#frame;
    return frame && frame.show === show && frame.rescale === rescale ? frame.version : -1;
  }

  /**
   * @param {ChainEvent[]} events
   * @param {number} steps
   * @param {AbortSignal} signal
   * @returns {Promise<Reply & {show: Show, rescale: boolean}>}
   */
  async #ask(events, steps, signal) {
    const { show, rescale } = this.settings;
    const { history, shelf, masks } = this.#uncertain ? NOTHING : this.lists;
    const have = { history: history.version, shelf: shelf.version, masks: masks.version };
    const epoch = this.#uncertain ? null : (this.#latest?.epoch ?? null);
    const turn = { seen: this.#seen(), epoch, events, steps, only: this.only, show, rescale, have };
    const reply = await takeTurn(turn, signal);
    return { ...reply, show, rescale };
  }

  /** @param {Reply} reply */
  #receive(reply) {
    const { head, picture, show, rescale } = /** @type {Reply & {show: Show, rescale: boolean}} */ (reply);
    if (this.#renewed(head)) this.#forget(head.epoch !== this.#latest?.epoch);
    this.#latest = head;
    this.lists = {
      history: head.history ?? this.lists.history,
      shelf: head.shelf ?? this.lists.shelf,
      masks: head.masks ?? this.lists.masks,
    };
    if (picture) {
      for (const view of this.#views) view.draw?.(picture, this);
      picture.close();
      this.#frame = { version: head.version, show, rescale };
    }
    for (const view of this.#views) view.receive?.(head);
    this.#update();
  }

  #update() {
    if (this.#latest) for (const view of this.#views) view.update?.(this);
  }
}

/** @returns {Partial<Settings>} as stored by this tab before a reload */
function recall() {
  const settings = JSON.parse(tabMemory.recall(KEY) ?? "{}");
  return settings.limit ? { ...settings, limit: Number(settings.limit) } : settings;
}

// What the page knows, and the one way to change it: views are told of every change.

import { takeTurn } from "./api.js";
import { expect } from "./expect.js";
import { Loop } from "./loop.js";
import { ofTab } from "./memory.js";

/**
 * @typedef {import("./types.js").About} About
 * @typedef {import("./types.js").Act} Act
 * @typedef {import("./types.js").Head} Head
 * @typedef {import("./types.js").Lists} Lists
 * @typedef {import("./types.js").Reply} Reply
 * @typedef {import("./types.js").Show} Show
 * @typedef {{show: Show, rescale: boolean, stride: number, limit: number, marks: boolean}} Settings
 *
 * @typedef {object} Troubles
 * @property {(message: string) => void} refused
 * @property {(message: string) => void} failed
 * @property {(error: import("./api.js").ServerError | null) => void} lost null: the server is back
 * @property {() => void} renewed another session, or perhaps another server, is there
 * @property {() => void} replaced another session is there that this page has not opened
 *
 * @typedef {object} View
 * @property {(picture: ImageBitmap, desk: Desk) => void} [draw] a new frame
 * @property {(desk: Desk) => void} [update] anything changed
 * @property {(head: Head) => void} [hear] a new head came, frame or not
 */

const PAGE = Date.now();
const KEY = "nkca-view";

/** @type {Lists} */
const NOTHING = {
  history: { version: 0, position: 0, entries: [] },
  shelf: { version: 0, items: [], removed: 0 },
  masks: { version: 0, tiles: {} },
};

export class Desk {
  /** @type {Head | null} */
  #latest = null;
  #sessions = 0;
  #doubt = false; // whether the server is still the one that was known
  /** @type {{version: number, show: Show, rescale: boolean} | null} */
  #frame = null;
  /** @type {View[]} */
  #views = [];
  lists = NOTHING;
  opening = false; // whether this page is opening a session

  /**
   * @param {About} about
   * @param {Troubles} troubles
   */
  constructor(about, troubles) {
    this.about = about;
    this.troubles = troubles;
    /** @type {Settings} */
    this.settings = { show: about.show, rescale: about.rescale, stride: 1, limit: Infinity, marks: true, ...recall() };
    this.loop = new Loop({
      ask: (acts, steps, signal) => this.#ask(acts, steps, signal),
      receive: (reply) => this.#receive(reply),
      pace: () => this.settings,
      changed: () => this.#update(),
      refused: troubles.refused,
      failed: troubles.failed,
      lost: (error) => this.#lost(error),
    });
  }

  /** The newest state, with what was just asked for already in it. */
  get head() {
    return this.#latest && expect(this.#latest, this.loop.pending);
  }

  /** The newest state and lists, as the server told them. */
  get state() {
    return this.#latest && { ...this.#latest, ...this.lists };
  }

  /** Names the session: ids and versions are those of one session. */
  get session() {
    return `${PAGE}-${this.#sessions}`;
  }

  /** The version of the frame on the screen. */
  get onScreen() {
    return this.#frame ? this.#frame.version : -1;
  }

  /** @param {View[]} views */
  show(...views) {
    this.#views.push(...views);
  }

  /**
   * @param {Act[]} acts
   * @returns {Promise<boolean>} whether the server has done them
   */
  send(...acts) {
    return this.loop.send(...acts);
  }

  /**
   * What is known counts no more.
   *
   * @param {boolean} other whether the session is another one
   */
  #forget(other) {
    if (other && !this.opening) this.troubles.replaced();
    if (other) this.opening = false;
    this.#doubt = false;
    this.#sessions += 1;
    this.#frame = null;
    this.lists = NOTHING;
    this.troubles.renewed();
  }

  /** @param {import("./api.js").ServerError | null} error */
  #lost(error) {
    this.#doubt ||= error !== null;
    this.troubles.lost(error);
  }

  /**
   * Whether the session is not the one that was known.
   *
   * @param {Head} head
   */
  #renewed(head) {
    const latest = this.#latest;
    return latest !== null && (this.#doubt || latest.epoch !== head.epoch || latest.version > head.version);
  }

  /** @param {Partial<Settings>} settings */
  set(settings) {
    Object.assign(this.settings, settings);
    ofTab.remember(KEY, JSON.stringify({ ...this.settings, limit: String(this.settings.limit) }));
    this.#update();
    if (this.#seen() < 0) this.loop.refresh();
    else this.loop.nudge();
  }

  /** The newest frame that this page has as it wants it; -1: none. */
  #seen() {
    const { show, rescale } = this.settings;
    const frame = this.#doubt ? null : this.#frame;
    return frame && frame.show === show && frame.rescale === rescale ? frame.version : -1;
  }

  /**
   * @param {Act[]} events
   * @param {number} steps
   * @param {AbortSignal} signal
   * @returns {Promise<Reply & {show: Show, rescale: boolean}>}
   */
  async #ask(events, steps, signal) {
    const { show, rescale } = this.settings;
    const { history, shelf, masks } = this.#doubt ? NOTHING : this.lists;
    const have = { history: history.version, shelf: shelf.version, masks: masks.version };
    const epoch = this.#doubt ? null : (this.#latest?.epoch ?? null);
    const turn = { seen: this.#seen(), epoch, events, steps, show, rescale, have };
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
    for (const view of this.#views) view.hear?.(head);
    this.#update();
  }

  #update() {
    if (this.#latest) for (const view of this.#views) view.update?.(this);
  }
}

/** @returns {Partial<Settings>} as the tab had them before it was loaded again */
function recall() {
  const settings = JSON.parse(ofTab.recall(KEY) ?? "{}");
  return settings.limit ? { ...settings, limit: Number(settings.limit) } : settings;
}

// The state of the page, as signals, and the only way to change it; sends the turns to the server.

import { withPending } from "./commands.js";
import { Loop, ServerError } from "./loop.js";
import { batch, computed, signal } from "./preact.js";

/**
 * @import { Reply } from "./loop.js"
 * @import { About, ChainEvent, Head, History, Masks, Shelf, Show, Turn } from "./types.js"
 * @typedef {{history: History, shelf: Shelf, masks: Masks}} Lists
 * @typedef {{show: Show, rescale: boolean, stride: number, limit: number, marks: boolean, solo: boolean}} Settings
 */

const PAGE = Date.now();
const KEY = "nkca-view";
const LETTERS = "nkca-letters";
export const KEPT = "application/x-nkca-kept"; // the type of the address of a shelf picture that is dragged
const STEADY = 0.25; // a step that takes longer or shorter by this part changes what is told
const REPLACED = "Another session has replaced the one shown here. If pictures were kept, Open session lists the old one.";

/** @type {Lists} */
const NOTHING = {
  history: { version: 0, position: 0, entries: [], branches: [] },
  shelf: { version: 0, items: [], removed: 0, removed_items: [] },
  masks: { version: 0, tiles: {} },
};

/** @type {Head} */
const UNKNOWN = {
  version: -1, epoch: -1, step: 0, batch: 0, level: 0, annealing: 0, running: false, seed: 0, change: null, picked: null, locked: [], masked: [], held: null,
  pictured: null, choosing: false, choices: 0, can_undo: false, can_redo: false, tile_levels: [], history: null, shelf: null, masks: null, replaying: null, recording: null, step_ms: null, notice: null,
};

export class Store {
  #sessions = 0;
  #uncertain = false; // whether the server may have been restarted
  /** @type {{version: number, pictured: number, show: string, rescale: boolean} | null} */
  #frame = null;
  #drawn = performance.now(); // when the newest frame was
  /** @type {Set<(picture: ImageBitmap) => void>} */
  #drawers = new Set();
  /** @type {Map<string, {value: any}>} */
  #fields = new Map();
  /** The newest head, as the server sent it. */
  latest = signal(/** @type {Head | null} */ (null));
  lists = signal(NOTHING);
  pending = signal(/** @type {readonly ChainEvent[]} */ ([]));
  stepping = signal(false); // whether single steps take so long that they can be stopped
  columns = signal(1); // of the grid
  mixing = signal(/** @type {number | null} */ (null)); // the tile that is to be mixed with the next one
  left = signal(-1); // the version of the offer that the user has left without a choice
  stepMs = signal(0); // roughly what a step takes
  letters = signal(browserMemory.recall(LETTERS) !== "off"); // whether there are shortcuts of one letter
  opening = false; // whether this page is opening a session

  /**
   * @param {About} about
   * @param {import("./app.js").Front} front
   * @param {{renewed: () => void, lost: (error: ServerError | null) => void}} handlers
   *   there is another session, or perhaps another server; the server is away, or (null) back
   */
  constructor(about, front, handlers) {
    this.about = about;
    this.front = front;
    this.handlers = handlers;
    const { show, rescale, seed } = about;
    this.settings = signal(/** @type {Settings} */ ({ show, rescale, stride: 1, limit: Infinity, marks: true, solo: true, ...recalled() }));
    /** The newest head, as it will be once the pending events are applied. */
    this.head = computed(() => withPending(this.latest.value ?? { ...UNKNOWN, seed }, this.pending.value));
    this.loop = new Loop({
      ask: (events, steps, signal) => this.#ask(events, steps, signal),
      receive: (reply) => batch(() => this.#receive(reply)),
      pace: () => this.settings.value,
      changed: () => this.#update(),
      refused: (message) => front.toast(message),
      failed: (message) => front.notice(message),
      lost: (error) => {
        this.#uncertain ||= error !== null;
        handlers.lost(error);
      },
    }, about.max_events);
  }

  /**
   * A field of the head; a component that reads it is drawn again when its content changes.
   *
   * @template {keyof Head} Name
   * @param {Name} name
   * @returns {Head[Name]}
   */
  now(name) {
    if (!this.#fields.has(name)) {
      /** @type {unknown} */
      let last;
      this.#fields.set(name, computed(() => {
        const value = this.head.value[name];
        return (last = JSON.stringify(value) === JSON.stringify(last) ? last : value);
      }));
    }
    return this.#fields.get(name)?.value;
  }

  /** The newest head and lists, as the server sent them. */
  get state() {
    return this.latest.value && { ...this.latest.value, ...this.lists.value };
  }

  /** The one tile that steps move; null: all. */
  get only() {
    return this.settings.value.solo ? this.front.enlarged : null;
  }

  /** Whether a click on a tile is a choice. */
  get choosing() {
    return this.now("choosing") && this.left.value !== this.now("version");
  }

  /** Whether what is kept or painted is the finished picture. */
  get showsFinished() {
    return this.settings.value.show === "finished";
  }

  /** Milliseconds since the newest frame was drawn. */
  get looked() {
    return Math.round(performance.now() - this.#drawn);
  }

  /** Identifies the session; ids and versions are unique only within one. */
  get session() {
    return `${PAGE}-${this.#sessions}`;
  }

  /** The version of the frame on the screen. */
  get onScreen() {
    return this.#frame ? this.#frame.version : -1;
  }

  /**
   * @param {(picture: ImageBitmap) => void} draw called with each new frame
   * @returns {() => void} ends that
   */
  onFrame(draw) {
    this.#drawers.add(draw);
    return () => void this.#drawers.delete(draw);
  }

  /**
   * @param {ChainEvent[]} events
   * @returns {Promise<boolean>} whether the server has applied them
   */
  send(...events) {
    return this.loop.send(...events);
  }

  /** @param {Partial<Settings>} settings */
  set(settings) {
    const all = (this.settings.value = { ...this.settings.value, ...settings });
    tabMemory.remember(KEY, JSON.stringify({ ...all, limit: String(all.limit) }));
    if (this.#pictured() < 0) this.loop.refresh();
    else this.loop.nudge();
  }

  #update() {
    this.pending.value = this.loop.pending;
    this.stepping.value = this.loop.stepping;
  }

  /** @param {boolean} on */
  setLetters(on) {
    this.letters.value = on;
    browserMemory.remember(LETTERS, on ? "on" : "off");
  }

  /**
   * How long so many steps take, in words; "" if that is not known yet, or next to nothing.
   *
   * @param {number} steps
   */
  timeOf(steps) {
    const seconds = (steps * Math.max(this.stepMs.value, 1000 / this.settings.value.limit)) / 1000;
    if (seconds < 2) return "";
    return seconds < 100 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
  }

  /** The version of the pictures on the screen if they have the wanted settings; -1: none. */
  #pictured() {
    const { show, rescale } = this.settings.value;
    const frame = this.#uncertain ? null : this.#frame;
    return frame && frame.show === show && frame.rescale === rescale ? frame.pictured : -1;
  }

  /**
   * @param {ChainEvent[]} events
   * @param {number} steps
   * @param {AbortSignal} signal
   */
  async #ask(events, steps, signal) {
    const { show, rescale } = this.settings.value;
    const { history, shelf, masks } = this.#uncertain ? NOTHING : this.lists.value;
    const have = { history: history.version, shelf: shelf.version, masks: masks.version };
    const epoch = this.#uncertain ? null : (this.latest.value?.epoch ?? null);
    const seen = this.#uncertain ? -1 : (this.latest.value?.version ?? -1);
    /** @type {Turn} */
    const turn = { seen, pictured: this.#pictured(), epoch, events, steps, only: this.only, show, rescale, have };
    const reply = await request("/api/turn", { ...posted(JSON.stringify(turn), "application/json"), signal }, readReply);
    return { ...reply, show, rescale };
  }

  /** @param {Reply} reply */
  #receive(reply) {
    const { head, picture, show, rescale } = /** @type {Reply & {show: string, rescale: boolean}} */ (reply);
    if (this.#renewed(head)) this.#forget(head.epoch !== this.latest.value?.epoch);
    if (head.notice && head.notice !== this.latest.value?.notice) this.front.notice(head.notice);
    this.latest.value = head;
    if (head.step_ms && Math.abs(head.step_ms - this.stepMs.value) > STEADY * this.stepMs.value) this.stepMs.value = head.step_ms;
    const { history, shelf, masks } = this.lists.value;
    if (head.history ?? head.shelf ?? head.masks) {
      this.lists.value = { history: head.history ?? history, shelf: head.shelf ?? shelf, masks: head.masks ?? masks };
    }
    if (picture) {
      for (const draw of this.#drawers) draw(picture);
      picture.close();
      const pictured = head.pictured ?? head.version - 1; // finished pictures are still to come
      this.#frame = { version: head.version, pictured, show, rescale };
      this.#drawn = performance.now();
    }
    this.#update();
  }

  /**
   * Whether the head may belong to another session than the last one.
   *
   * @param {Head} head
   */
  #renewed(head) {
    const latest = this.latest.value;
    return latest !== null && (this.#uncertain || latest.epoch !== head.epoch || latest.version > head.version);
  }

  /**
   * Discard the frame and lists of the previous session.
   *
   * @param {boolean} other whether the epoch has changed
   */
  #forget(other) {
    if (other && !this.opening) this.front.notice(REPLACED);
    if (other) this.opening = false;
    this.#uncertain = false;
    this.#sessions += 1;
    this.#frame = null;
    this.lists.value = NOTHING;
    this.handlers.renewed();
  }
}

/**
 * @template T
 * @param {string} path
 * @param {RequestInit} options
 * @param {(response: Response) => Promise<T>} read
 * @returns {Promise<T>}
 */
export async function request(path, options, read) {
  try {
    const response = await fetch(path, { cache: "no-store", ...options });
    if (response.ok) return await read(response);
    const { error } = await response.json().catch(() => ({}));
    throw new ServerError(response.status, error ?? `The server responded with status ${response.status}`);
  } catch (error) {
    throw error instanceof ServerError ? error : new ServerError(0, "The server does not respond");
  }
}

/**
 * @param {BodyInit} body
 * @param {string} type
 * @returns {RequestInit}
 */
export const posted = (body, type) => ({ method: "POST", body, headers: { "Content-Type": type } });

/**
 * @param {Response} response
 * @returns {Promise<Reply>}
 */
async function readReply(response) {
  const bytes = await response.arrayBuffer();
  const end = 4 + new DataView(bytes).getUint32(0);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, end - 4)));
  const png = new Blob([bytes.slice(end)], { type: "image/png" });
  return { head, picture: png.size ? await createImageBitmap(png, { colorSpaceConversion: "none", premultiplyAlpha: "none" }) : null };
}

/** @param {() => Storage} storage what survives a reload of the page; it may be forbidden */
const memory = (storage) => ({
  /** @param {string} key */
  recall(key) {
    try {
      return storage().getItem(key);
    } catch {
      return null;
    }
  },

  /**
   * @param {string} key
   * @param {string} value
   */
  remember(key, value) {
    try {
      storage().setItem(key, value);
    } catch {
      return;
    }
  },
});

export const browserMemory = memory(() => localStorage);
export const tabMemory = memory(() => sessionStorage);

/** @returns {Partial<Settings>} as stored by this tab before a reload */
function recalled() {
  const settings = JSON.parse(tabMemory.recall(KEY) ?? "{}");
  return settings.limit ? { ...settings, limit: Number(settings.limit) } : settings;
}

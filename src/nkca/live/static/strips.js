// The film strip of past moments and the shelf of kept pictures.

import { isOff } from "./commands.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./preact.js";
import { KEPT } from "./store.js";

/**
 * @import { Commands } from "./commands.js"
 * @import { Entry, Kept } from "./types.js"
 */

const MAX_LOADING = 2;
const NOW_AT = 0.6; // where the present stands in the strip while there is a future

/**
 * @param {number} id
 * @param {string} session part of the address, so that the browser's cache does not mix sessions
 */
export const keptPicture = (id, session) => `/api/kept/${id}.png?session=${session}`;

/**
 * A list of buttons that is one Tab stop; arrow keys, Home and End move within it, and the focus stays when items move or vanish.
 *
 * @param {readonly {id: number}[]} items
 */
function useRoving(items) {
  const list = /** @type {{current: HTMLElement}} */ (useRef(null));
  const [current, setCurrent] = useState(-1);
  const at = useRef(-1);
  const found = items.findIndex(({ id }) => id === current);
  const index = found < 0 ? (at.current < 0 ? items.length - 1 : Math.min(at.current, items.length - 1)) : found;
  const held = list.current?.contains(document.activeElement);
  const focus = (/** @type {number} */ to) => /** @type {HTMLElement | undefined} */ (list.current.querySelectorAll("button:not(.use)")[to])?.focus();
  useLayoutEffect(() => {
    at.current = found < 0 ? -1 : index;
    if (held && !list.current.contains(document.activeElement)) focus(index);
  });
  /** @param {KeyboardEvent} event */
  const press = (event) => {
    const to = { Home: 0, End: items.length - 1, ArrowLeft: Math.max(0, index - 1), ArrowRight: Math.min(items.length - 1, index + 1) }[event.key];
    if (to === undefined || to === index || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    focus(to);
  };
  return { list, press, tabOf: (/** @type {number} */ id) => ({ tabindex: items[index]?.id === id ? 0 : -1, onFocus: () => setCurrent(id) }) };
}

/**
 * @param {Commands} commands
 * @param {KeyboardEvent} event
 * @param {number} level of the picture that has the focus
 * @returns {boolean} whether the event was about its level
 */
function usesLevel(commands, event, level) {
  const uses = event.key.toLowerCase() === "u" && !event.ctrlKey && !event.metaKey && !isOff(commands, event);
  if (uses) event.preventDefault(), commands.setLevel(level);
  return uses;
}

/** @param {{commands: Commands, level: number}} props for a pointer; keys: U */
function UseLevel({ commands, level }) {
  return html`<button type="button" class="use" tabindex="-1" aria-hidden="true" title=${`Use level ${level.toFixed(2)} (U)`} onClick=${() => commands.setLevel(level)}>${level.toFixed(2)}</button>`;
}

/** @param {{commands: Commands}} props the line of moments, with each branch behind the moment that it left */
export function FilmStrip({ commands }) {
  const { store } = commands;
  const { entries, position, branches } = store.lists.value.history;
  const order = useMemo(() => inOrder(entries, position, branches), [entries, position, branches]);
  const shown = order.filter(({ entry }) => entry !== null).map(({ entry }) => /** @type {Entry} */ (entry));
  const { list, press, tabOf } = useRoving(shown);
  const loader = useLoader(store);
  const now = order.findIndex(({ entry }) => entry === null);
  useLayoutEffect(() => {
    const { offsetLeft, offsetWidth } = /** @type {HTMLElement} */ (list.current.children[now]);
    list.current.scrollLeft = Math.max(0, offsetLeft + offsetWidth - list.current.clientWidth * (order.length > now + 1 ? NOW_AT : 1));
  }, [order]);
  const frames = order.map(({ entry, kind }) => {
    if (!entry) return html`<li key="now" class="now" aria-current="step"><span>now</span></li>`;
    const text = `${entry.label}, step ${entry.step}, level ${entry.level.toFixed(2)}`;
    const aside = { past: "", future: " (undone)", branch: " (a branch)" }[kind];
    return html`<li key=${`${store.session} ${entry.id}`} class=${[entry.automatic && "minor", kind].filter(Boolean).join(" ")} onKeyDown=${(/** @type {KeyboardEvent} */ event) => usesLevel(commands, event, entry.level)}>
      <button type="button" class="frame" ...${tabOf(entry.id)} title=${text + aside} aria-label=${`Go to: ${nameOf(entry)}, step ${entry.step}, level ${entry.level.toFixed(2)}${aside}`} onClick=${() => store.send({ do: "jump", to: entry.id })}>
        <${Thumbnail} address=${`/api/moments/${entry.id}.png?session=${store.session}`} loader=${loader} /><span>${nameOf(entry)}</span>
      </button><${UseLevel} commands=${commands} level=${entry.level} /></li>`;
  });
  return html`<ol id="filmstrip" class="film" aria-label="Past moments" ref=${list} onKeyDown=${press}>${frames}</ol>`;
}

/**
 * The moments from left to right, null for the present. A branch comes behind the last moment of the action that it followed; if there is none, behind the present.
 *
 * @param {Entry[]} entries
 * @param {number} position
 * @param {import("./types.js").Branch[]} branches
 * @returns {{entry: Entry | null, kind: "past" | "future" | "branch"}[]}
 */
export function inOrder(entries, position, branches) {
  const stored = [...entries, ...branches.flatMap((branch) => branch.entries)];
  const lastOf = new Map(stored.map(({ action, id }) => [action, id]));
  /** @param {Entry} entry */
  const behind = (entry) => (lastOf.get(entry.action) === entry.id ? of(branches.filter(({ root }) => root === entry.action)) : []);
  /**
   * @param {import("./types.js").Branch[]} some
   * @returns {{entry: Entry | null, kind: "past" | "future" | "branch"}[]}
   */
  const of = (some) => some.flatMap((branch) => branch.entries.flatMap((entry) => [{ entry, kind: /** @type {const} */ ("branch") }, ...behind(entry)]));
  /** @param {Entry[]} part @param {"past" | "future"} kind */
  const line = (part, kind) => part.flatMap((entry) => [{ entry, kind }, ...behind(entry)]);
  const rootless = branches.filter(({ root }) => !lastOf.has(root));
  return [...line(entries.slice(0, position), "past"), { entry: null, kind: "past" }, ...of(rootless), ...line(entries.slice(position), "future")];
}

/** @param {Entry} entry */
function nameOf({ automatic, step, label }) {
  return automatic ? `step ${step}` : label.replace(/ (from|tile)(?= )/g, "");
}

/** @param {Commands} commands @param {Kept} kept */
export async function removeKept(commands, { id, name }) {
  if (!(await commands.store.send({ do: "remove", item: id }))) return;
  commands.front.toast(`${name} removed from the shelf`, { label: "Put back", run: () => commands.restore(id) });
}

/** @param {Commands} commands @param {number} item @param {number} way to the right, or left if negative */
export function moveKept({ store }, item, way) {
  const { items } = store.lists.value.shelf;
  const to = items.findIndex(({ id }) => id === item) + way;
  if (to >= 0 && to < items.length) store.send({ do: "move", item, to });
}

/** @param {{commands: Commands}} props */
export function Shelf({ commands }) {
  const { store } = commands;
  const { items } = store.lists.value.shelf;
  const { list, press, tabOf } = useRoving(items);
  const loader = useLoader(store);
  const dragged = useRef(-1);
  const count = useRef(0);
  useLayoutEffect(() => {
    if (items.length > count.current) list.current.scrollLeft = list.current.scrollWidth;
    count.current = items.length;
  }, [items.length]);
  /** @param {KeyboardEvent} event @param {Kept} kept */
  const edit = (event, kept) => {
    if (usesLevel(commands, event, kept.level)) return;
    const way = event.altKey ? { ArrowLeft: -1, ArrowRight: 1 }[event.key] : undefined;
    const removes = event.key === "Delete" || event.key === "Backspace";
    if (way === undefined && !removes) return;
    event.preventDefault();
    if (removes) removeKept(commands, kept);
    else moveKept(commands, kept.id, way ?? 0);
  };
  /** @param {DragEvent} event @param {Kept} kept to the desktop it is a file, to a tile its address */
  const drag = ({ dataTransfer }, { id, name }) => {
    dragged.current = id;
    const address = new URL(keptPicture(id, store.session), location.href).href;
    dataTransfer?.setData(KEPT, address);
    dataTransfer?.setData("text/uri-list", address);
    dataTransfer?.setData("DownloadURL", `image/png:${name}.png:${address}&download=1`);
  };
  /** @param {DragEvent} event @param {number} to */
  const drop = (event, to) => {
    event.preventDefault();
    store.send({ do: "move", item: dragged.current, to });
  };
  return html`<ol id="shelf" class="film" aria-label="Kept pictures. Alt and an arrow key move one, Delete removes it." ref=${list} onKeyDown=${press}>
    ${items.map((kept, i) => {
      const name = `${kept.name}: tile ${kept.tile + 1}, step ${kept.step}, level ${kept.level.toFixed(2)}`;
      const open = () => commands.front.open(import("./viewer.js"), { commands, kept: kept.id });
      return html`<li key=${`${store.session} ${kept.id}`} draggable=${true} onKeyDown=${(/** @type {KeyboardEvent} */ event) => edit(event, kept)}
        onDragStart=${(/** @type {DragEvent} */ event) => drag(event, kept)} onDragEnd=${() => (dragged.current = -1)}
        onDragOver=${(/** @type {DragEvent} */ event) => dragged.current >= 0 && event.preventDefault()} onDrop=${(/** @type {DragEvent} */ event) => dragged.current >= 0 && drop(event, i)}>
        <button type="button" class="kept" ...${tabOf(kept.id)} title=${name} aria-label=${name} onClick=${open}>
          <${Thumbnail} address=${keptPicture(kept.id, store.session)} loader=${loader} />
        </button><${UseLevel} commands=${commands} level=${kept.level} /></li>`;
    })}</ol>`;
}

/** Loads thumbnails in view, few at a time, and none while the user's events are pending. */
class Loader {
  #wanted = /** @type {Set<() => void>} */ (new Set());
  #loading = 0;

  /** @param {() => boolean} busy */
  constructor(busy) {
    this.busy = busy;
  }

  /**
   * @param {() => void} load
   * @param {boolean} wanted
   */
  want(load, wanted) {
    if (wanted) this.#wanted.add(load);
    else this.#wanted.delete(load);
    this.next();
  }

  done() {
    this.#loading -= 1;
    this.next();
  }

  next() {
    for (const load of this.#wanted) {
      if (this.#loading >= MAX_LOADING || this.busy()) return;
      this.#wanted.delete(load);
      this.#loading += 1;
      load();
    }
  }
}

/** @param {import("./store.js").Store} store */
function useLoader(store) {
  const loader = useMemo(() => new Loader(() => store.pending.value.length > 0), []);
  useEffect(() => loader.next(), [store.pending.value.length]);
  return loader;
}

/** @param {{address: string, loader: Loader}} props */
function Thumbnail({ address, loader }) {
  const image = /** @type {{current: HTMLImageElement}} */ (useRef(null));
  useEffect(() => {
    const load = () => {
      observer.disconnect();
      if (image.current) image.current.src = address;
      else loader.done();
    };
    const observer = new IntersectionObserver(([{ isIntersecting }]) => loader.want(load, isIntersecting));
    observer.observe(image.current);
    return () => (observer.disconnect(), loader.want(load, false));
  }, []);
  return html`<img ref=${image} alt="" draggable=${false} fetchpriority="low" onLoad=${() => loader.done()} onError=${() => loader.done()} />`;
}

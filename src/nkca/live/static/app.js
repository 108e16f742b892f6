// Starts the page: its layout, and what lies in front of it, dialogs and messages.

import { Commands, isOff, shortcuts } from "./commands.js";
import { applyTheme, Button, Header, Icon, Lazy, Panel } from "./controls.js";
import { Stage } from "./grid.js";
import { effect, html, render, signal, useEffect, useRef } from "./preact.js";
import { KEPT, request, Store, tabMemory } from "./store.js";

/**
 * @import { About } from "./types.js"
 * @typedef {{label: string, run: () => void}} Action what the button of a message does
 * @typedef {{id: number, text: string, lasting: boolean, action?: Action}} Message
 *
 * @typedef {object} Opened a dialog that is open
 * @property {number} id
 * @property {(props: any) => any} View
 * @property {Record<string, any>} props
 * @property {() => number | null} enlarges the tile that it shows
 */

const CARRIED = "nkca-messages";
const TOAST_MS = 6000;
const ACTION_MS = 15_000;
const MAX_MESSAGES = 4;
const NOT_LOADED = "The server does not respond: this part of the page could not be loaded.";
const BROKEN = "An error occurred in this page. Please reload it.";
const DROPS = "The last recording was not downloaded. A new one replaces it at once, even if it stays empty.";
const ERRORS = new Map([
  [0, "The server does not respond. This page continues automatically when it does."],
  [401, "This page no longer has access. Open the address with the token again."],
  [503, "The server is busy. Retrying."],
]);
const FIELDS = "input:not([type]), input[type=text], input[type=number], textarea, select, [contenteditable]";
const PRESSABLE = "button:not(.tile), input[type=radio], input[type=checkbox], input[type=file]";
const REPEATING = new Set(["arrowup", "arrowdown", "arrowleft", "arrowright", "+", "-", "."]);
const RELEASED = "button:not(.tile), select, label, a, input[type=range], input[type=radio], input[type=checkbox], input[type=file]";

/** The dialogs and messages in front of the page. */
export class Front {
  #numbers = 0;
  dialogs = signal(/** @type {Opened[]} */ ([]));
  messages = signal(/** @type {Message[]} */ ([]));
  banner = signal(/** @type {string | null} */ (null));
  said = signal(""); // to screen readers

  /** The tile that a dialog shows; null: none does. */
  get enlarged() {
    return this.dialogs.value.reduce((tile, dialog) => dialog.enlarges() ?? tile, /** @type {number | null} */ (null));
  }

  /**
   * @template T
   * @param {Promise<T>} module
   * @returns {Promise<T | null>} null: the server does not respond, and that was said
   */
  loaded(module) {
    return module.catch(() => (this.toast(NOT_LOADED), null));
  }

  /**
   * Open a dialog, whose module is loaded on first use.
   *
   * @param {Promise<{default: Opened["View"]}>} module
   * @param {Record<string, any>} props
   * @param {() => number | null} [enlarges] the tile that it shows
   * @returns {Promise<boolean>} false: one of its kind is open already, or it could not be loaded
   */
  async open(module, props, enlarges = () => null) {
    const found = await this.loaded(module);
    if (!found || this.dialogs.value.some(({ View }) => View === found.default)) return false;
    const id = ++this.#numbers;
    const closed = () => (this.dialogs.value = this.dialogs.value.filter((dialog) => dialog.id !== id));
    this.dialogs.value = [...this.dialogs.value, { id, View: found.default, props: { ...props, closed }, enlarges }];
    return true;
  }

  /**
   * Ask before something is lost.
   *
   * @param {string} question
   * @param {string} yes
   * @param {string} no
   * @returns {Promise<boolean>}
   */
  ask(question, yes, no) {
    return new Promise(async (answer) => (await this.open(import("./ask.js"), { question, yes, no, answer })) || answer(false));
  }

  /** @param {string} text for screen readers */
  say(text) {
    this.said.value = text;
  }

  /**
   * @param {string} text
   * @param {Action} [action]
   */
  toast(text, action) {
    const id = this.#tell({ text, action, lasting: false });
    setTimeout(() => this.untell(id), action ? ACTION_MS : TOAST_MS);
  }

  /** @param {string} text of a message that stays until it is closed */
  notice(text) {
    this.#tell({ text, lasting: true });
  }

  /** @param {Omit<Message, "id">} message */
  #tell(message) {
    const id = ++this.#numbers;
    const others = this.messages.value.filter(({ text }) => text !== message.text);
    const oldest = others.length < MAX_MESSAGES ? undefined : others.find(({ lasting }) => !lasting);
    this.messages.value = [...others.filter((other) => other !== oldest), { id, ...message }];
    return id;
  }

  /** @param {number} id of a message */
  untell(id) {
    this.messages.value = this.messages.value.filter((message) => message.id !== id);
  }

  /** Store the notices that are not closed, to show them again after a reload. */
  carryNotices() {
    const texts = this.messages.value.filter(({ lasting }) => lasting).map(({ text }) => text);
    tabMemory.remember(CARRIED, JSON.stringify(texts));
  }

  showCarriedNotices() {
    for (const text of JSON.parse(tabMemory.recall(CARRIED) ?? "[]")) this.notice(text);
    tabMemory.remember(CARRIED, "[]");
  }
}

/** @param {{commands: Commands}} props */
function Page({ commands }) {
  const { dialogs } = commands.front;
  return html`
    <${Header} commands=${commands} />
    <main><${Stage} commands=${commands} /><${Panel} commands=${commands} /></main>
    <footer><${History} commands=${commands} /><${Shelf} commands=${commands} /></footer>
    ${dialogs.value.map(({ id, View, props }) => html`<${View} key=${id} ...${props} />`)}
    <${Messages} front=${commands.front} />`;
}

/** @param {{commands: Commands}} props */
function History({ commands }) {
  const { store } = commands;
  const load = () => import("./strips.js").then(({ FilmStrip }) => ({ default: FilmStrip }));
  return html`<section class="drawer" aria-label="History">
    <div class="head"><h2>History</h2>
      <${Button} id="undo" class="small" icon="undo" label="Undo" title="Undo (Z)" disabled=${!store.now("can_undo")} run=${() => commands.undo()} />
      <${Button} id="redo" class="small" icon="redo" label="Redo" title="Redo (Y)" disabled=${!store.now("can_redo")} run=${() => commands.redo()} />
    </div>
    <${Lazy} when=${store.lists.value.history.entries.length > 0} load=${load} commands=${commands}><ol id="filmstrip" class="film"><li class="now"><span>now</span></li></ol><//>
  </section>`;
}

/** @param {{commands: Commands}} props */
function Shelf({ commands }) {
  const { items, removed, removed_items: restorable } = commands.store.lists.value.shelf;
  const load = () => import("./strips.js").then((strips) => ({ default: strips.Shelf }));
  const count = items.length;
  return html`<section class="drawer" aria-label="Shelf">
    <div class="head"><h2>Shelf</h2><span id="shelf-count" class="count">${count || ""}</span>
      ${removed > 0 && html`<${Button} id="shelf-restore" class="small" icon="undo" label=${`${removed} removed · put back`} title=${`${removed} removed: put back the last one`}
        disabled=${!restorable.length} run=${() => commands.restore(restorable[restorable.length - 1])} />`}
      <a id="shelf-grid" class="button small" href=${count ? "/api/shelf.png" : undefined} aria-disabled=${!count} download="shelf.png" title="Download the shelf as one picture"><${Icon} name="grid" /><span class="label">Sheet</span></a>
      <a id="shelf-zip" class="button small" href=${count ? "/api/shelf.zip" : undefined} aria-disabled=${!count} download="shelf.zip" title="Download the pictures and the session as a zip"><${Icon} name="save" /><span class="label">Zip</span></a>
      ${commands.store.now("choices") > 0 && html`<a id="choices-csv" class="button small" href="/api/choices.csv" download="choices.csv" title="Download the choices as a table"><${Icon} name="choose" /><span class="label">Choices</span></a>`}
      <${Recorder} commands=${commands} />
    </div>
    <${Lazy} when=${count > 0} load=${load} commands=${commands}><ol id="shelf" class="film"></ol><//>
  </section>`;
}

/** @param {{commands: Commands}} props */
function Recorder({ commands: { store, front } }) {
  const { on, frames } = store.now("recording") ?? { on: false, frames: 0 };
  const downloaded = useRef(false);
  if (on) downloaded.current = false;
  const toggle = async () => {
    const loses = !on && frames > 0 && !downloaded.current;
    if (!loses || (await front.ask(DROPS, "Record", "Keep the last"))) store.send({ do: "record", on: !on });
  };
  const save = () => front.open(import("./recording.js"), { store, took: () => (downloaded.current = true) });
  return html`<${Button} id="record" class="small" icon="record" label=${on ? `Stop (${frames})` : "Record"} aria-pressed=${on} title="Record the tiles, as clean pictures" run=${toggle} />
    ${!on && frames > 0 && html`<${Button} id="recording" class="small" icon="save" label="Recording" aria-label="Save recording" title="Choose tiles and size, and save the recording" run=${save} />`}`;
}

/** @param {{front: Front}} props */
function Messages({ front }) {
  const { banner, messages, dialogs, said } = front;
  useEffect(() => raise("banner", banner.value !== null), [banner.value, dialogs.value]);
  useEffect(() => raise("toasts", messages.value.length > 0), [messages.value, dialogs.value]);
  return html`
    <div id="banner" popover="manual" role="alert">${banner.value}</div>
    <p id="status" class="unseen" role="status" aria-live="polite">${said.value}</p>
    <div id="toasts" popover="manual" role="region" aria-label="Messages">${messages.value.map(({ id, text, lasting, action }) => {
      const close = () => front.untell(id);
      return html`<div key=${id} class=${lasting ? "toast lasting" : "toast"} role="status" onClick=${!lasting && !action && close}><span>${text}</span>
        ${action && html`<${Button} class="small" label=${action.label} run=${() => (close(), action.run())} />`}
        ${lasting && html`<${Button} class="quiet" icon="close" aria-label="Close the message" run=${close} />`}
      </div>`;
    })}</div>`;
}

/**
 * Show a popover in front of all dialogs, or hide it.
 *
 * @param {string} id
 * @param {boolean} shown
 */
function raise(id, shown) {
  const box = document.getElementById(id);
  if (box?.matches(":popover-open")) box.hidePopover();
  if (shown) box?.showPopover();
}

/** Releases the focus from a control after a click, so that the keys still control the whole page. */
function startFocus() {
  let byPointer = false;
  document.addEventListener("pointerdown", () => (byPointer = true), true);
  document.addEventListener("keydown", () => (byPointer = false), true);
  const release = () => {
    const focused = document.activeElement;
    if (!byPointer || !(focused instanceof HTMLElement) || !focused.matches(RELEASED)) return;
    const dialog = focused.closest("dialog");
    const next = dialog?.querySelector("[autofocus]");
    if (next instanceof HTMLElement) next.focus();
    else if (!dialog) focused.blur();
  };
  document.addEventListener("change", release);
  document.addEventListener("click", ({ target }) => {
    const control = target instanceof Element ? target.closest(RELEASED) : null;
    if (control && !control.matches("select")) release();
  });
}

/** @param {Commands} commands */
function startKeys(commands) {
  const table = Object.assign({}, ...shortcuts(commands).map(([, , runs]) => runs));
  document.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.defaultPrevented || document.querySelector("dialog[open]:not(#zoom-dialog)")) return;
    if (target.matches(FIELDS)) return void (event.key === "Escape" && target.blur());
    if (isOff(commands, event) || isTheirs(event, target)) return;
    const run = inGrid(event, target, commands) ?? table[chordOf(event)] ?? table[event.ctrlKey || event.metaKey || event.altKey ? "" : event.key.toLowerCase()] ?? digit(event, commands);
    if (!run) return;
    event.preventDefault();
    if (!event.repeat || REPEATING.has(event.key.toLowerCase())) run(event.repeat);
  });
  document.addEventListener("keyup", (event) => {
    if (event.key === " " && event.target instanceof Element && event.target.matches(".tile")) event.preventDefault();
  });
}

/**
 * Whether the key means something to the focused control, or to the dialog that is open.
 *
 * @param {KeyboardEvent} event
 * @param {Element} target
 */
function isTheirs({ key }, target) {
  if (key === "Escape") return document.querySelector("dialog[open]") !== null;
  return key === " " ? target.matches(PRESSABLE) : (key === "ArrowLeft" || key === "ArrowRight") && target.matches("input");
}

/** @param {KeyboardEvent} event */
function chordOf({ key, ctrlKey, metaKey, altKey, shiftKey }) {
  const held = [(ctrlKey || metaKey) && "ctrl+", altKey && "alt+", shiftKey && /^[a-z]$/i.test(key) && "shift+"];
  return held.filter(Boolean).join("") + key.toLowerCase();
}

/** @param {KeyboardEvent} event @param {Element} target @param {Commands} commands */
function inGrid({ key, ctrlKey, metaKey, altKey }, target, commands) {
  const rows = { ArrowUp: -1, ArrowDown: 1 }[key];
  return rows && target.matches(".tile") && !(ctrlKey || metaKey || altKey) ? () => commands.moveRow(rows) : undefined;
}

/** @param {KeyboardEvent} event @param {Commands} commands */
function digit({ code, key, shiftKey, ctrlKey, metaKey, altKey }, commands) {
  const found = ctrlKey || metaKey || altKey ? null : (/^Digit(\d)$/.exec(code) ?? /^(\d)$/.exec(key));
  return found && (() => commands.take(((Number(found[1]) + 9) % 10) + (shiftKey ? 10 : 0)));
}

/** @param {Commands} commands files that are dropped on the page or pasted into it, and pictures of the shelf */
function startFiles(commands) {
  const covered = () => document.querySelector("dialog[open]") !== null;
  /** @param {Event} event */
  const cellUnder = ({ target }) => (target instanceof Element ? target.closest(".cell") : null);
  /** @param {Element | null} cell */
  const mark = (cell) => document.querySelectorAll(".cell").forEach((other) => other.classList.toggle("target", other === cell));
  document.addEventListener("paste", ({ clipboardData }) => covered() || commands.openFiles([...(clipboardData?.files ?? [])]));
  document.addEventListener("dragover", (event) => {
    if (![KEPT, "Files"].some((type) => event.dataTransfer?.types.includes(type))) return;
    if (event.dataTransfer?.types.includes(KEPT) && !cellUnder(event)) return mark(null);
    event.preventDefault();
    if (!covered()) mark(cellUnder(event));
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || mark(null));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(null);
    const face = /** @type {HTMLElement | null | undefined} */ (cellUnder(event)?.querySelector(".tile"));
    const tile = face ? Number(face.dataset.tile) : null;
    const kept = event.dataTransfer?.getData(KEPT);
    if (kept && tile !== null) commands.startFrom(kept, tile);
    if (!kept && !covered()) commands.openFiles([...(event.dataTransfer?.files ?? [])], tile);
  });
}

/** @param {About} facts when the page was loaded */
function start(facts) {
  const front = new Front();
  const about = () => request("/api/about", {}, (response) => response.json());
  /** Reload the page if the server now has another model or other settings. */
  const reloadIfChanged = async () => {
    if (JSON.stringify(await about().catch(() => facts)) === JSON.stringify(facts)) return;
    front.carryNotices();
    location.reload();
  };
  const lost = (/** @type {{status: number, message: string} | null} */ error) => (front.banner.value = error && (ERRORS.get(error.status) ?? error.message));
  const store = new Store(facts, front, { lost, renewed: reloadIfChanged });
  const commands = new Commands(store);
  Object.defineProperty(window, "nkca", { value: Object.freeze({ get state() { return store.state; }, get onScreen() { return store.onScreen; } }) });
  document.title = `nkca: ${facts.checkpoint}`;
  applyTheme();
  front.showCarriedNotices();
  effect(() => void document.body.classList.toggle("unmarked", !store.settings.value.marks));
  effect(() => void document.body.classList.toggle("no-letters", !store.letters.value));
  render(html`<${Page} commands=${commands} />`, /** @type {Element} */ (document.getElementById("page")));
  startKeys(commands);
  startFocus();
  startFiles(commands);
  document.addEventListener("visibilitychange", () => document.hidden || reloadIfChanged());
  store.loop.start().catch((error) => {
    front.banner.value = BROKEN;
    throw error;
  });
}

start(JSON.parse(document.getElementById("about")?.textContent ?? ""));

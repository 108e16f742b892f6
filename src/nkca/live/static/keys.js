// The keyboard shortcuts of the page.

import { dialog, input } from "./dom.js";
import { browserMemory } from "./memory.js";

/**
 * @typedef {import("./commands.js").Commands} Commands
 * @typedef {{keys: string, does: string}} Line
 */

/** @type {Line[]} */
export const KEYS = [
  { keys: "Space", does: "run or pause" },
  { keys: ".", does: "one step" },
  { keys: "↑ ↓", does: "noise level by 0.01" },
  { keys: "A", does: "anneal" },
  { keys: "1 … 9, 0", does: "pick tile 1 to 10; with Shift 11 to 20" },
  { keys: "← →", does: "move the pick" },
  { keys: "Esc", does: "pick no tile; close a dialog" },
  { keys: "S", does: "spread the picked tile" },
  { keys: "K", does: "keep it" },
  { keys: "L", does: "lock or unlock it" },
  { keys: "P", does: "paint it" },
  { keys: "E", does: "enlarge it" },
  { keys: "O", does: "start from an image file" },
  { keys: "R", does: "restart from noise; with Shift a new seed" },
  { keys: "I", does: "restart from the given images" },
  { keys: "V", does: "show clean, noisy or both" },
  { keys: "H", does: "hide or show the masks" },
  { keys: "Z, Ctrl+Z", does: "undo" },
  { keys: "Y, Ctrl+Y, Ctrl+Shift+Z", does: "redo" },
  { keys: "Alt+← →", does: "move a shelf picture that has the focus" },
  { keys: "Delete", does: "remove a shelf picture that has the focus" },
  { keys: "?", does: "this help" },
];

const FIELDS = "input:not([type]), input[type=text], input[type=number], textarea, select, [contenteditable]";
const PRESSABLE = "button:not(.tile), input[type=radio], input[type=checkbox], input[type=file]";
const LETTERS = "nkca-letters";
const REPEATING = new Set(["arrowup", "arrowdown", "arrowleft", "arrowright", "up", "down", "left", "right", "."]);

/**
 * Whether the event is of a shortcut of a single letter, digit or sign, and these are turned off.
 *
 * @param {KeyboardEvent} event
 */
export function isOff({ key }) {
  return key.length === 1 && key !== " " && browserMemory.recall(LETTERS) === "off";
}

/** The switch for shortcuts of one letter, which speech input or a slip of the hand can press. */
export function startLetters() {
  const box = input("letters");
  const apply = () => document.body.classList.toggle("no-letters", !box.checked);
  box.checked = browserMemory.recall(LETTERS) !== "off";
  box.addEventListener("change", () => (browserMemory.remember(LETTERS, box.checked ? "on" : "off"), apply()));
  apply();
}

/** @param {Commands} commands */
export function startKeys(commands) {
  const table = keyTable(commands);
  document.addEventListener("keydown", (event) => {
    const target = event.target instanceof Element ? event.target : document.body;
    if (event.defaultPrevented || document.querySelector("dialog[open]:not(#zoom-dialog)")) return;
    if (target.matches(FIELDS)) return leaveField(event, target);
    const run = event.ctrlKey || event.metaKey ? withCtrl(event, commands) : event.altKey ? undefined : plain(event, target, table, commands);
    if (!run) return;
    event.preventDefault();
    if (!event.repeat || REPEATING.has(event.key.toLowerCase())) run(event.repeat);
  });
  document.addEventListener("keyup", (event) => {
    if (event.key === " " && event.target instanceof Element && event.target.matches(".tile")) event.preventDefault();
  });
}

/** @param {Commands} commands */
function keyTable(commands) {
  const up = () => commands.nudgeLevel(1);
  const down = () => commands.nudgeLevel(-1);
  /** @type {Record<string, (repeated: boolean) => void>} */
  const table = {
    " ": () => commands.toggleRun(),
    ".": (repeated) => commands.step(repeated),
    arrowup: up,
    up,
    arrowdown: down,
    down,
    s: () => commands.spread(),
    k: () => commands.keep(),
    l: () => commands.toggleLock(),
    p: () => commands.paint(),
    e: () => commands.zoom(),
    a: () => commands.anneal(),
    i: () => commands.restart("images"),
    v: () => commands.cycleShow(),
    h: () => commands.toggleMarks(),
    o: () => input("open-image").click(),
    y: () => commands.redo(),
    "?": () => dialog("help-dialog").showModal(),
    escape: () => commands.store.head?.picked != null && commands.pick(null),
  };
  return table;
}

/**
 * @param {KeyboardEvent} event
 * @param {Element} target
 * @param {Record<string, (repeated: boolean) => void>} table
 * @param {Commands} commands
 */
function plain(event, target, table, commands) {
  const key = event.key.toLowerCase();
  if (isOff(event) || (key === "escape" && document.querySelector("dialog[open]"))) return undefined;
  if (key === " " && target.matches(PRESSABLE)) return undefined;
  if (key === "z") return () => (event.shiftKey ? commands.redo() : commands.undo());
  if (key === "r") return () => (event.shiftKey ? commands.restartWithNewSeed() : commands.restart("noise"));
  return table[key] ?? sideways(key, target, commands) ?? digit(event, commands);
}

/**
 * @param {string} key
 * @param {Element} target
 * @param {Commands} commands
 */
function sideways(key, target, commands) {
  const way = { arrowleft: -1, left: -1, arrowright: 1, right: 1 }[key];
  if (way === undefined || target.matches("input")) return undefined;
  return () => commands.movePick(way);
}

/**
 * @param {KeyboardEvent} event
 * @param {Commands} commands
 */
function digit(event, commands) {
  const found = /^Digit(\d)$/.exec(event.code) ?? /^(\d)$/.exec(event.key);
  if (!found) return undefined;
  const tile = (Number(found[1]) + 9) % 10;
  return () => commands.pick(tile + (event.shiftKey ? 10 : 0));
}

/**
 * @param {KeyboardEvent} event
 * @param {Commands} commands
 */
function withCtrl(event, commands) {
  const key = event.key.toLowerCase();
  if (event.altKey) return undefined;
  if (key === "z") return () => (event.shiftKey ? commands.redo() : commands.undo());
  return key === "y" ? () => commands.redo() : undefined;
}

/**
 * @param {KeyboardEvent} event
 * @param {Element} target
 */
function leaveField(event, target) {
  if (event.key === "Escape" && target instanceof HTMLElement) target.blur();
}

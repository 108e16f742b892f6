// The buttons and fields of the panel, except the level slider.

import { block, button, find, input, setLabel, setText } from "./dom.js";

/**
 * @typedef {import("./store.js").Store} Store
 * @typedef {import("./commands.js").Commands} Commands
 */

const MAX_SEED = Number.MAX_SAFE_INTEGER;
const MAX_ANNEAL = 10_000;
const SOLO = ["paint-solo", "zoom-solo"];

export const annealSteps = () => wholeNumber("anneal-steps", 1, MAX_ANNEAL);
export const seed = () => wholeNumber("seed", 0, MAX_SEED);

export class Panel {
  /**
   * @param {Store} store
   * @param {Commands} commands
   */
  constructor(store, commands) {
    const { images } = store.about;
    this.tileButtons = ["spread", "keep", "lock", "paint"].map(button);
    /** @type {number | null} */
    this.seed = null;
    button("restart-images").hidden = !images;
    this.#connect(commands);
    connectView(store);
  }

  /** @param {Commands} commands */
  #connect(commands) {
    onClick("anneal", () => commands.anneal());
    onClick("spread", () => commands.spread());
    onClick("keep", () => commands.keep());
    onClick("lock", () => commands.toggleLock());
    onClick("paint", () => commands.paint());
    onClick("restart-noise", () => commands.restart("noise"));
    onClick("restart-images", () => commands.restart("images"));
    onClick("new-seed", () => commands.restartWithNewSeed());
    onClick("undo", () => commands.undo());
    onClick("redo", () => commands.redo());
    onEnter("seed", () => commands.restart("noise"));
    onEnter("anneal-steps", () => commands.anneal());
  }

  /** @param {Store} store */
  update({ head, settings }) {
    if (!head) return;
    const { picked } = head;
    setText(block("pick-name"), picked === null ? "No tile picked" : `Tile ${picked + 1}`);
    for (const each of this.tileButtons) each.disabled = picked === null;
    const locked = picked !== null && head.locked.includes(picked);
    setLabel(button("lock"), locked ? "Unlock" : "Lock");
    setLabel(button("anneal"), head.annealing ? `${head.annealing} left` : "Anneal");
    button("undo").disabled = !head.can_undo;
    button("redo").disabled = !head.can_redo;
    this.#showSeed(head.seed);
    input(`show-${settings.show}`).checked = true;
    input("rescale").checked = settings.rescale;
    for (const id of ["marks", "paint-marks"]) input(id).checked = settings.marks;
    for (const id of SOLO) input(id).checked = settings.solo;
    document.body.classList.toggle("unmarked", !settings.marks);
  }

  /** @param {number} value */
  #showSeed(value) {
    if (this.seed === value) return;
    this.seed = value;
    input("seed").value = String(value);
  }
}

/** @param {Store} store */
function connectView(store) {
  const shows = find("show", HTMLFieldSetElement);
  shows.addEventListener("change", (event) => {
    const { value } = /** @type {HTMLInputElement} */ (event.target);
    store.set({ show: /** @type {import("./types.js").Show} */ (value) });
  });
  onCheck("rescale", (rescale) => store.set({ rescale }));
  onCheck("marks", (marks) => store.set({ marks }));
  onCheck("paint-marks", (marks) => store.set({ marks }));
  for (const id of SOLO) onCheck(id, (solo) => store.set({ solo }));
}

/**
 * @param {string} id
 * @param {(checked: boolean) => void} set
 */
function onCheck(id, set) {
  const box = input(id);
  box.addEventListener("change", () => set(box.checked));
}

/**
 * @param {string} id
 * @param {() => void} run
 */
function onClick(id, run) {
  button(id).addEventListener("click", run);
}

/**
 * @param {string} id
 * @param {() => void} run
 */
function onEnter(id, run) {
  input(id).addEventListener("keydown", (event) => {
    if (event.key === "Enter") run();
  });
}

/**
 * @param {string} id
 * @param {number} low
 * @param {number} high
 */
function wholeNumber(id, low, high) {
  const field = input(id);
  const given = Math.round(field.valueAsNumber);
  const value = Number.isNaN(given) ? Number(field.defaultValue || low) : Math.min(high, Math.max(low, given));
  field.value = String(value);
  return value;
}

// A slider for the noise level.

import { block, input, setAttribute, setText } from "./dom.js";

/**
 * @typedef {import("./store.js").Store} Store
 * @typedef {import("./commands.js").Commands} Commands
 */

export class LevelSlider {
  /**
   * @param {string} id of the slider; that of its number is `id-value`
   * @param {Store} store
   * @param {Commands} commands
   */
  constructor(id, store, commands) {
    this.slider = input(id);
    this.number = block(`${id}-value`);
    this.slider.min = String(Math.floor(store.about.min_level * 100) / 100);
    this.slider.max = "1";
    showFill(this.slider);
    this.slider.addEventListener("input", () => commands.setLevel(this.slider.valueAsNumber));
  }

  /** @param {Store} store */
  update({ head }) {
    if (!head) return;
    const text = head.level.toFixed(2);
    setText(this.number, text);
    if (this.slider.value === text) return;
    this.slider.value = text;
    setAttribute(this.slider, "aria-valuetext", text);
    showFill(this.slider);
  }
}

/** @param {HTMLInputElement} slider */
export function showFill(slider) {
  const [low, high] = [Number(slider.min), Number(slider.max)];
  slider.style.setProperty("--fill", String((slider.valueAsNumber - low) / (high - low || 1)));
}

// Loads thumbnails when they come into view, few at a time, and none while the user's events are pending.

import { make } from "./dom.js";

const MAX_LOADING = 2;

export class Thumbnails {
  /** @type {Set<HTMLImageElement>} */
  #wanted = new Set();
  #loading = 0;

  /** @param {() => boolean} busy */
  constructor(busy) {
    this.busy = busy;
    this.observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) this.#want(/** @type {HTMLImageElement} */ (target), isIntersecting);
      this.update();
    });
  }

  /** @param {string} address */
  make(address) {
    const image = make("img", { "data-src": address, alt: "", draggable: "false", fetchpriority: "low" });
    this.observer.observe(image);
    return image;
  }

  update() {
    for (const image of this.#wanted) {
      if (this.#loading >= MAX_LOADING || this.busy()) return;
      this.#load(image);
    }
  }

  /**
   * @param {HTMLImageElement} image
   * @param {boolean} visible
   */
  #want(image, visible) {
    if (visible) this.#wanted.add(image);
    else this.#wanted.delete(image);
  }

  /** @param {HTMLImageElement} image */
  #load(image) {
    this.#wanted.delete(image);
    this.observer.unobserve(image);
    this.#loading += 1;
    const next = () => {
      this.#loading -= 1;
      this.update();
    };
    image.addEventListener("load", next, { once: true });
    image.addEventListener("error", next, { once: true });
    image.src = image.dataset.src ?? "";
  }
}

// Helpers for finding, making and updating elements.

/**
 * @template {Element} T
 * @param {string} id
 * @param {{new (): T}} kind
 * @returns {T}
 */
export function find(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return element;
}

/** @param {string} id */
export const button = (id) => find(id, HTMLButtonElement);

/** @param {string} id */
export const input = (id) => find(id, HTMLInputElement);

/** @param {string} id */
export const canvas = (id) => find(id, HTMLCanvasElement);

/** @param {string} id */
export const dialog = (id) => find(id, HTMLDialogElement);

/** @param {string} id */
export const block = (id) => find(id, HTMLElement);

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string>} [attributes]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** @param {string} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "use"));
  setIcon(svg, name);
  return svg;
}

/**
 * @param {Element} element an icon or its container
 * @param {string} name
 */
export function setIcon(element, name) {
  const use = element.querySelector("use");
  if (use && use.getAttribute("href") !== `#i-${name}`) use.setAttribute("href", `#i-${name}`);
}

/**
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * @param {Element} element a button with a label
 * @param {string} text
 */
export function setLabel(element, text) {
  setText(element.querySelector(".label") ?? element, text);
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {string} value
 */
export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/**
 * Update the children of a list to show the items, in order, reusing children of items that remain.
 *
 * @template {{id: number}} Item
 * @param {HTMLElement} list
 * @param {string} session children of another session are removed
 * @param {readonly Item[]} items
 * @param {(item: Item) => HTMLElement} create
 */
export function reconcile(list, session, items, create) {
  if (list.dataset.session !== session) list.replaceChildren();
  list.dataset.session = session;
  const restoreFocus = holdFocus(list);
  const old = new Map([...list.children].map((child) => [/** @type {HTMLElement} */ (child).dataset.id, child]));
  items.forEach((item, index) => {
    const id = String(item.id);
    const child = old.get(id) ?? create(item);
    old.delete(id);
    /** @type {HTMLElement} */ (child).dataset.id = id;
    if (list.children[index] !== child) list.insertBefore(child, list.children[index] ?? null);
  });
  for (const child of old.values()) child.remove();
  restoreFocus();
}

/**
 * Restores the focus, which a moved element loses; if the element was removed, its neighbour gets it.
 *
 * @param {Element} list
 */
function holdFocus(list) {
  const focused = document.activeElement;
  const index = [...list.children].findIndex((child) => child.contains(focused));
  return () => {
    if (index < 0 || document.activeElement === focused) return;
    const neighbour = list.children[Math.min(index, list.children.length - 1)]?.querySelector("button");
    const next = focused?.isConnected ? focused : neighbour;
    if (next instanceof HTMLElement) next.focus();
  };
}

/**
 * @param {HTMLCanvasElement} element
 * @param {CanvasRenderingContext2DSettings} [settings]
 */
export function contextOf(element, settings) {
  const context = element.getContext("2d", settings);
  if (!context) throw new Error("this browser does not support canvas drawing");
  return context;
}

/**
 * @param {HTMLCanvasElement} element
 * @param {number} width
 * @param {number} height
 */
export function resize(element, width, height) {
  if (element.width === width && element.height === height) return;
  element.width = width;
  element.height = height;
}

// Reordering the items of a horizontal list by dragging.

const DRAG_PX = 6;
const EDGE_PX = 30;

/**
 * @param {HTMLElement} list
 * @param {(id: number, to: number) => void} move
 */
export function startReorder(list, move) {
  list.addEventListener("pointerdown", (event) => {
    const item = event.target instanceof Element ? event.target.closest("li") : null;
    if (item && event.button === 0 && event.pointerType !== "touch") follow(list, item, event.clientX, move);
  });
}

/**
 * @param {HTMLElement} list
 * @param {HTMLElement} item
 * @param {number} start
 * @param {(id: number, to: number) => void} move
 */
function follow(list, item, start, move) {
  const end = new AbortController();
  const scrolled = list.scrollLeft;
  let dragging = false;
  /** @param {PointerEvent} event */
  const drag = (event) => {
    dragging ||= Math.abs(event.clientX - start) > DRAG_PX;
    if (!dragging) return;
    scrollAtEdge(list, event.clientX);
    const shift = event.clientX - start + list.scrollLeft - scrolled;
    item.classList.add("dragged");
    item.style.translate = `${shift}px`;
  };
  /** @param {PointerEvent} event */
  const drop = (event) => {
    end.abort();
    item.classList.remove("dragged");
    item.style.translate = "";
    if (!dragging) return;
    swallowClick();
    if (event.type === "pointerup") move(Number(item.dataset.id), placeOf(list, item, event.clientX));
  };
  addEventListener("pointermove", drag, { signal: end.signal });
  addEventListener("pointerup", drop, { signal: end.signal });
  addEventListener("pointercancel", drop, { signal: end.signal });
}

/**
 * @param {HTMLElement} list
 * @param {HTMLElement} item
 * @param {number} x
 */
function placeOf(list, item, x) {
  const others = [...list.children].filter((other) => other !== item);
  return others.filter((other) => middle(other) < x).length;
}

/**
 * @param {Element} list
 * @param {number} x
 */
function scrollAtEdge(list, x) {
  const { left, right } = list.getBoundingClientRect();
  if (x < left + EDGE_PX) list.scrollLeft -= EDGE_PX / 2;
  if (x > right - EDGE_PX) list.scrollLeft += EDGE_PX / 2;
}

/** @param {Element} element */
function middle(element) {
  const { left, width } = element.getBoundingClientRect();
  return left + width / 2;
}

function swallowClick() {
  /** @param {Event} event */
  const swallow = (event) => event.stopPropagation();
  addEventListener("click", swallow, { capture: true, once: true });
  setTimeout(() => removeEventListener("click", swallow, { capture: true }));
}

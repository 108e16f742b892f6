// Optimistic updates: the head as it will be once the pending events are applied.

/**
 * @typedef {import("./types.js").Head} Head
 * @typedef {import("./types.js").ChainEvent} ChainEvent
 */

/**
 * @param {Head} head
 * @param {readonly ChainEvent[]} events
 * @returns {Head}
 */
export function withPending(head, events) {
  return events.reduce((state, event) => ({ ...state, ...effect(state, event) }), head);
}

/**
 * @param {Head} head
 * @param {ChainEvent} event
 * @returns {Partial<Head>} the fields that are known to change
 */
function effect(head, event) {
  switch (event.do) {
    case "run":
      return { running: true };
    case "pause":
    case "undo":
    case "redo":
    case "jump":
      return { running: false };
    case "level":
      return { level: event.level, annealing: 0 };
    case "anneal":
      return { running: true, annealing: event.steps };
    case "select":
      return { picked: event.tile };
    case "lock":
      return { locked: withTile(head.locked, event.tile, event.locked) };
    default:
      return {};
  }
}

/**
 * @param {number[]} tiles
 * @param {number} tile
 * @param {boolean} included
 */
function withTile(tiles, tile, included) {
  const others = tiles.filter((other) => other !== tile);
  return included ? [...others, tile] : others;
}

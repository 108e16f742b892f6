// What the state will be once the events that are on their way have been applied.

/**
 * @typedef {import("./types.js").Head} Head
 * @typedef {import("./types.js").Act} Act
 */

/**
 * @param {Head} head
 * @param {readonly Act[]} acts
 * @returns {Head}
 */
export function expect(head, acts) {
  return acts.reduce((state, act) => ({ ...state, ...effect(state, act) }), head);
}

/**
 * @param {Head} head
 * @param {Act} act
 * @returns {Partial<Head>} what it changes at once
 */
function effect(head, act) {
  switch (act.do) {
    case "run":
      return { running: true };
    case "pause":
    case "undo":
    case "redo":
    case "jump":
      return { running: false };
    case "level":
      return { level: act.level, annealing: 0 };
    case "anneal":
      return { running: true, annealing: act.steps };
    case "pick":
      return { picked: act.tile };
    case "lock":
      return { locked: withTile(head.locked, act.tile, act.locked) };
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

// What the state will be once the events that are on their way have been applied.

/**
 * @typedef {import("./types.js").Head} Head
 * @typedef {import("./types.js").Act} Act
 */

const paused = () => ({ running: false });

/** @type {Record<string, (head: Head, act: any) => Partial<Head>>} */
const EFFECTS = {
  run: () => ({ running: true }),
  pause: paused,
  undo: paused,
  redo: paused,
  jump: paused,
  level: (_, act) => ({ level: act.level, annealing: 0 }),
  anneal: (_, act) => ({ running: true, annealing: act.steps }),
  pick: (_, act) => ({ picked: act.tile }),
  lock: (head, act) => ({ locked: withTile(head.locked, act.tile, act.locked) }),
};

/**
 * @param {Head} head
 * @param {readonly Act[]} acts
 * @returns {Head}
 */
export function expect(head, acts) {
  return acts.reduce((state, act) => ({ ...state, ...EFFECTS[act.do]?.(state, act) }), head);
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

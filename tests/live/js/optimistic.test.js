import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { withPending } from "../../../src/nkca/live/static/commands.js";

const HEAD = Object.freeze({
  version: 7, epoch: 1, step: 40, batch: 4, level: 0.5, annealing: 3, running: false, seed: 1, change: null,
  picked: 2, locked: Object.freeze([1]), masked: [], can_undo: true, can_redo: true, tile_levels: [],
  history: null, shelf: null, masks: null, replaying: null, recording: null, step_ms: null,
});
const RUNNING = Object.freeze({ ...HEAD, running: true });

describe("a pending event", () => {
  const effects = [
    [HEAD, { do: "run" }, { running: true }],
    [RUNNING, { do: "pause" }, { running: false }],
    [RUNNING, { do: "undo" }, { running: false }],
    [RUNNING, { do: "redo" }, { running: false }],
    [RUNNING, { do: "jump", to: 3 }, { running: false }],
    [HEAD, { do: "level", level: 0.25 }, { level: 0.25, annealing: 0 }],
    [HEAD, { do: "level", level: 0 }, { level: 0, annealing: 0 }],
    [HEAD, { do: "anneal", steps: 20 }, { running: true, annealing: 20 }],
    [HEAD, { do: "select", tile: 0 }, { picked: 0 }],
    [HEAD, { do: "select", tile: null }, { picked: null }],
    [HEAD, { do: "lock", tile: 3, locked: true, seen: 7 }, { locked: [1, 3] }],
    [HEAD, { do: "lock", tile: 1, locked: true, seen: 7 }, { locked: [1] }],
    [HEAD, { do: "lock", tile: 1, locked: false, seen: 7 }, { locked: [] }],
    [HEAD, { do: "lock", tile: 0, locked: false, seen: 7 }, { locked: [1] }],
  ];
  for (const [head, event, change] of effects) {
    it(`${JSON.stringify(event)} changes ${Object.keys(change)}, and nothing else`, () => {
      assert.deepEqual(withPending(head, [event]), { ...head, ...change });
    });
  }

  const unforeseen = [
    { do: "step", times: 1 },
    { do: "spread", tile: 1, seen: 7 },
    { do: "keep", tile: 1, seen: 7 },
    { do: "paint", tile: 1, mask: "gA==", seen: 7, finished: false },
    { do: "start", tile: null, image: "" },
    { do: "restart", source: "noise", seed: 9 },
    { do: "remove", item: 1 },
    { do: "restore", item: 1 },
    { do: "move", item: 1, to: 0 },
    { do: "record", on: true },
    { do: "stop" },
  ];
  for (const event of unforeseen) {
    it(`${event.do} changes nothing before the server has responded`, () => {
      assert.deepEqual(withPending(RUNNING, [event]), RUNNING);
    });
  }
});

describe("several events", () => {
  it("none: the head itself", () => {
    assert.equal(withPending(HEAD, []), HEAD);
  });

  it("are applied in order: the last one counts", () => {
    assert.equal(withPending(HEAD, [{ do: "run" }, { do: "pause" }]).running, false);
    assert.equal(withPending(HEAD, [{ do: "pause" }, { do: "run" }]).running, true);
    const annealed = [{ do: "level", level: 0.9 }, { do: "anneal", steps: 5 }];
    assert.deepEqual(withPending(HEAD, annealed), { ...HEAD, level: 0.9, annealing: 5, running: true });
    assert.deepEqual(withPending(HEAD, annealed.toReversed()), { ...HEAD, level: 0.9, annealing: 0, running: true });
  });

  it("each sees the effect of the one before it", () => {
    const lock = (tile, locked) => ({ do: "lock", tile, locked, seen: 7 });
    const { locked } = withPending(HEAD, [lock(0, true), lock(3, true), lock(1, false), lock(0, false)]);
    assert.deepEqual(locked, [3]);
  });

  it("do not modify the head", () => {
    const before = structuredClone(HEAD);
    withPending(HEAD, [{ do: "run" }, { do: "lock", tile: 2, locked: true, seen: 7 }, { do: "select", tile: 0 }]);
    assert.deepEqual(HEAD, before);
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Queue } from "../../../src/nkca/live/static/loop.js";

const RUN = { do: "run" };
const PAUSE = { do: "pause" };
const step = () => ({ do: "step", times: 1 });
const level = (value) => ({ do: "level", level: value });
const pick = (tile) => ({ do: "select", tile });
const keep = (tile) => ({ do: "keep", tile, seen: 0 });
const many = (count) => Array.from({ length: count }, (_, i) => keep(i));

/** Returns a function that lists the resolved promises in order, as [name, done]. */
function watch(promises) {
  const answers = [];
  for (const [name, promise] of Object.entries(promises)) promise.then((done) => answers.push([name, done]));
  return async () => {
    await new Promise(setImmediate);
    return answers;
  };
}

describe("order", () => {
  it("takes events in order, and only once", () => {
    const queue = new Queue(64);
    queue.add(RUN);
    queue.add(keep(1), keep(2));
    assert.equal(queue.length, 3);
    assert.deepEqual(queue.take(), [RUN, keep(1), keep(2)]);
    assert.equal(queue.length, 0);
    assert.deepEqual(queue.inFlight, [RUN, keep(1), keep(2)]);
    queue.finish(true);
    assert.deepEqual(queue.take(), []);
    assert.deepEqual(queue.inFlight, []);
  });

  it("lists as pending the events in flight, then those that wait", () => {
    const queue = new Queue(64);
    queue.add(keep(1));
    queue.take();
    queue.add(keep(2));
    assert.deepEqual(queue.pending, [keep(1), keep(2)]);
    assert.equal(queue.length, 1);
    queue.pending.pop();
    assert.equal(queue.pending.length, 2, "a copy");
    queue.finish(true);
    assert.deepEqual(queue.pending, [keep(2)]);
  });

  it("carries at most 64 events a turn", () => {
    const queue = new Queue(64);
    queue.add(...many(130));
    for (const [first, count] of [[0, 64], [64, 64], [128, 2]]) {
      const taken = queue.take();
      assert.deepEqual(taken, many(130).slice(first, first + count));
      queue.finish(true);
    }
    assert.equal(queue.length, 0);
  });
});

describe("events of which only the newest counts", () => {
  for (const [name, make] of Object.entries({ level, pick })) {
    it(`${name}: replaces the waiting one before it`, () => {
      const queue = new Queue(64);
      queue.add(RUN);
      for (const value of [1, 2, 3]) queue.add(make(value));
      assert.deepEqual(queue.take(), [RUN, make(3)]);
    });

    it(`${name}: does not replace one in flight, nor one before another event`, () => {
      const queue = new Queue(64);
      queue.add(make(1));
      queue.take();
      queue.add(make(2));
      queue.add(keep(0));
      queue.add(make(3));
      assert.deepEqual(queue.pending, [make(1), make(2), keep(0), make(3)]);
    });
  }

  it("do not replace one another", () => {
    const queue = new Queue(64);
    queue.add(level(0.5));
    queue.add(pick(1));
    assert.deepEqual(queue.take(), [level(0.5), pick(1)]);
  });

  it("are only these two kinds", () => {
    const queue = new Queue(64);
    queue.add(keep(1));
    queue.add(keep(1));
    queue.add(step());
    queue.add(step());
    assert.equal(queue.length, 4);
  });

  it("resolve to false if they were replaced", async () => {
    const queue = new Queue(64);
    const answers = watch({ older: queue.add(pick(1)), newer: queue.add(pick(2)) });
    assert.deepEqual(await answers(), [["older", false]]);
    queue.take();
    queue.finish(true);
    assert.deepEqual(await answers(), [["older", false], ["newer", true]]);
  });
});

describe("events that may be refused", () => {
  for (const name of ["undo", "redo", "jump"]) {
    it(`${name} has a turn of its own`, () => {
      const queue = new Queue(64);
      const alone = { do: name };
      queue.add(keep(1), keep(2), alone, keep(3));
      for (const expected of [[keep(1), keep(2)], [alone], [keep(3)]]) {
        assert.deepEqual(queue.take(), expected);
        queue.finish(true);
      }
      assert.equal(queue.length, 0);
    });
  }

  it("one after another take a turn each", () => {
    const queue = new Queue(64);
    queue.add({ do: "undo" }, { do: "undo" });
    assert.deepEqual(queue.take(), [{ do: "undo" }]);
    queue.finish(true);
    assert.deepEqual(queue.take(), [{ do: "undo" }]);
  });

  it("do not let a turn grow beyond 64 events", () => {
    const queue = new Queue(64);
    queue.add(...many(70), { do: "undo" });
    assert.equal(queue.take().length, 64);
    queue.finish(true);
    assert.deepEqual(queue.take(), many(70).slice(64));
    queue.finish(true);
    assert.deepEqual(queue.take(), [{ do: "undo" }]);
  });
});

describe("promises", () => {
  for (const done of [true, false]) {
    it(`resolve to ${done} for the events of the turn, and for no other`, async () => {
      const queue = new Queue(64);
      const first = queue.add(keep(1));
      queue.take();
      const answers = watch({ first, second: queue.add(keep(2)) });
      assert.deepEqual(await answers(), []);
      queue.finish(done);
      assert.deepEqual(await answers(), [["first", done]]);
    });
  }

  it("of several events at once resolve with the last of them", async () => {
    const queue = new Queue(64);
    const answers = watch({ both: queue.add(keep(1), { do: "undo" }) });
    queue.take();
    queue.finish(true);
    assert.deepEqual(await answers(), []);
    queue.take();
    queue.finish(false);
    assert.deepEqual(await answers(), [["both", false]]);
  });

  it("of equal events resolve separately", async () => {
    const queue = new Queue(64);
    const first = queue.add(keep(1));
    queue.take();
    const answers = watch({ first, again: queue.add(keep(1)) });
    queue.finish(true);
    queue.take();
    queue.finish(false);
    assert.deepEqual(await answers(), [["first", true], ["again", false]]);
  });
});

describe("retry", () => {
  it("puts the events in flight before those that wait, and resolves when the turn ends", async () => {
    const queue = new Queue(64);
    const first = queue.add(keep(1), keep(2));
    queue.take();
    const answers = watch({ first, later: queue.add(keep(3)) });
    queue.putBack();
    assert.deepEqual(queue.inFlight, []);
    assert.equal(queue.length, 3);
    assert.deepEqual(await answers(), []);
    assert.deepEqual(queue.take(), [keep(1), keep(2), keep(3)]);
    queue.finish(true);
    assert.deepEqual(await answers(), [["first", true], ["later", true]]);
  });

  it("keeps the limit of 64 events and the separate turns", () => {
    const queue = new Queue(64);
    queue.add(...many(64));
    queue.take();
    queue.add({ do: "undo" });
    queue.putBack();
    assert.equal(queue.take().length, 64);
    queue.finish(true);
    assert.deepEqual(queue.take(), [{ do: "undo" }]);
  });

  it("excludes cleared events: they resolve to false and are forgotten", async () => {
    const queue = new Queue(64);
    const inFlight = queue.add(keep(1));
    queue.take();
    const answers = watch({ inFlight, waiting: queue.add(keep(2)) });
    queue.clear();
    assert.deepEqual(await answers(), [["inFlight", false], ["waiting", false]]);
    assert.deepEqual(queue.pending, []);
    queue.finish(true);
    assert.equal((await answers()).length, 2);
  });
});

describe("single steps", () => {
  it("are pending while one waits or is in flight", () => {
    const queue = new Queue(64);
    assert.equal(queue.steps, false);
    queue.add(keep(1), step());
    assert.equal(queue.steps, true);
    queue.take();
    assert.equal(queue.steps, true);
    queue.finish(true);
    assert.equal(queue.steps, false);
  });

  it("are dropped if they wait, and nothing else is", async () => {
    const queue = new Queue(64);
    const answers = watch({ step: queue.add(step()), keep: queue.add(keep(1)), again: queue.add(step()) });
    assert.equal(queue.dropSteps(), false, "nothing is in flight");
    assert.deepEqual(await answers(), [["step", false], ["again", false]]);
    assert.deepEqual(queue.take(), [keep(1)]);
  });

  it("stay in flight; the turn may be cancelled if it is for them alone", () => {
    const tables = [
      [[step()], true],
      [[PAUSE, step()], true],
      [[step(), step()], true],
      [[PAUSE], false],
      [[step(), keep(1)], false],
      [[], false],
    ];
    for (const [events, expected] of tables) {
      const queue = new Queue(64);
      for (const event of events) queue.add(event);
      queue.take();
      assert.equal(queue.dropSteps(), expected, JSON.stringify(events));
      assert.deepEqual(queue.inFlight, events);
    }
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Queue } from "../../../src/nkca/live/static/queue.js";

const RUN = { do: "run" };
const PAUSE = { do: "pause" };
const step = () => ({ do: "step", times: 1 });
const level = (value) => ({ do: "level", level: value });
const pick = (tile) => ({ do: "pick", tile });
const keep = (tile) => ({ do: "keep", tile, seen: 0 });
const many = (count) => Array.from({ length: count }, (_, i) => keep(i));

/** What has been answered so far, in the order of the answers: [name, done]. */
function watch(promises) {
  const answers = [];
  for (const [name, promise] of Object.entries(promises)) promise.then((done) => answers.push([name, done]));
  return async () => {
    await new Promise(setImmediate);
    return answers;
  };
}

describe("order", () => {
  it("takes events as they came, and only once", () => {
    const queue = new Queue();
    queue.add(RUN);
    queue.add(keep(1), keep(2));
    assert.equal(queue.length, 3);
    assert.deepEqual(queue.take(), [RUN, keep(1), keep(2)]);
    assert.equal(queue.length, 0);
    assert.deepEqual(queue.flying, [RUN, keep(1), keep(2)]);
    queue.land(true);
    assert.deepEqual(queue.take(), []);
    assert.deepEqual(queue.flying, []);
  });

  it("shows as pending what flies, then what waits", () => {
    const queue = new Queue();
    queue.add(keep(1));
    queue.take();
    queue.add(keep(2));
    assert.deepEqual(queue.pending, [keep(1), keep(2)]);
    assert.equal(queue.length, 1);
    queue.pending.pop();
    assert.equal(queue.pending.length, 2, "a copy");
    queue.land(true);
    assert.deepEqual(queue.pending, [keep(2)]);
  });

  it("carries at most 64 events a turn", () => {
    const queue = new Queue();
    queue.add(...many(130));
    for (const [first, count] of [[0, 64], [64, 64], [128, 2]]) {
      const taken = queue.take();
      assert.deepEqual(taken, many(130).slice(first, first + count));
      queue.land(true);
    }
    assert.equal(queue.length, 0);
  });
});

describe("events of which the newest counts", () => {
  for (const [name, make] of Object.entries({ level, pick })) {
    it(`${name}: takes the place of the one that waits before it`, () => {
      const queue = new Queue();
      queue.add(RUN);
      for (const value of [1, 2, 3]) queue.add(make(value));
      assert.deepEqual(queue.take(), [RUN, make(3)]);
    });

    it(`${name}: leaves the one in flight, and the one before another event`, () => {
      const queue = new Queue();
      queue.add(make(1));
      queue.take();
      queue.add(make(2));
      queue.add(keep(0));
      queue.add(make(3));
      assert.deepEqual(queue.pending, [make(1), make(2), keep(0), make(3)]);
    });
  }

  it("do not replace one another", () => {
    const queue = new Queue();
    queue.add(level(0.5));
    queue.add(pick(1));
    assert.deepEqual(queue.take(), [level(0.5), pick(1)]);
  });

  it("are a rule for these two alone", () => {
    const queue = new Queue();
    queue.add(keep(1));
    queue.add(keep(1));
    queue.add(step());
    queue.add(step());
    assert.equal(queue.length, 4);
  });

  it("answer false where they were replaced", async () => {
    const queue = new Queue();
    const answers = watch({ older: queue.add(pick(1)), newer: queue.add(pick(2)) });
    assert.deepEqual(await answers(), [["older", false]]);
    queue.take();
    queue.land(true);
    assert.deepEqual(await answers(), [["older", false], ["newer", true]]);
  });
});

describe("events that may be refused", () => {
  for (const name of ["undo", "redo", "jump"]) {
    it(`${name} travels alone`, () => {
      const queue = new Queue();
      const alone = { do: name };
      queue.add(keep(1), keep(2), alone, keep(3));
      for (const expected of [[keep(1), keep(2)], [alone], [keep(3)]]) {
        assert.deepEqual(queue.take(), expected);
        queue.land(true);
      }
      assert.equal(queue.length, 0);
    });
  }

  it("one after another take a turn each", () => {
    const queue = new Queue();
    queue.add({ do: "undo" }, { do: "undo" });
    assert.deepEqual(queue.take(), [{ do: "undo" }]);
    queue.land(true);
    assert.deepEqual(queue.take(), [{ do: "undo" }]);
  });

  it("do not let a turn grow beyond 64 events", () => {
    const queue = new Queue();
    queue.add(...many(70), { do: "undo" });
    assert.equal(queue.take().length, 64);
    queue.land(true);
    assert.deepEqual(queue.take(), many(70).slice(64));
    queue.land(true);
    assert.deepEqual(queue.take(), [{ do: "undo" }]);
  });
});

describe("answers", () => {
  for (const done of [true, false]) {
    it(`are ${done} for what has flown, and for nothing else`, async () => {
      const queue = new Queue();
      const first = queue.add(keep(1));
      queue.take();
      const answers = watch({ first, second: queue.add(keep(2)) });
      assert.deepEqual(await answers(), []);
      queue.land(done);
      assert.deepEqual(await answers(), [["first", done]]);
    });
  }

  it("to several events at once come with the last of them", async () => {
    const queue = new Queue();
    const answers = watch({ both: queue.add(keep(1), { do: "undo" }) });
    queue.take();
    queue.land(true);
    assert.deepEqual(await answers(), []);
    queue.take();
    queue.land(false);
    assert.deepEqual(await answers(), [["both", false]]);
  });

  it("to equal events are each their own", async () => {
    const queue = new Queue();
    const first = queue.add(keep(1));
    queue.take();
    const answers = watch({ first, again: queue.add(keep(1)) });
    queue.land(true);
    queue.take();
    queue.land(false);
    assert.deepEqual(await answers(), [["first", true], ["again", false]]);
  });
});

describe("retry", () => {
  it("puts what has flown before what waits, and answers when it has landed", async () => {
    const queue = new Queue();
    const first = queue.add(keep(1), keep(2));
    queue.take();
    const answers = watch({ first, later: queue.add(keep(3)) });
    queue.putBack();
    assert.deepEqual(queue.flying, []);
    assert.equal(queue.length, 3);
    assert.deepEqual(await answers(), []);
    assert.deepEqual(queue.take(), [keep(1), keep(2), keep(3)]);
    queue.land(true);
    assert.deepEqual(await answers(), [["first", true], ["later", true]]);
  });

  it("keeps to 64 events and to the barrier", () => {
    const queue = new Queue();
    queue.add(...many(64));
    queue.take();
    queue.add({ do: "undo" });
    queue.putBack();
    assert.equal(queue.take().length, 64);
    queue.land(true);
    assert.deepEqual(queue.take(), [{ do: "undo" }]);
  });

  it("is not for what was given up: all is answered false, and forgotten", async () => {
    const queue = new Queue();
    const flying = queue.add(keep(1));
    queue.take();
    const answers = watch({ flying, waiting: queue.add(keep(2)) });
    queue.clear();
    assert.deepEqual(await answers(), [["flying", false], ["waiting", false]]);
    assert.deepEqual(queue.pending, []);
    queue.land(true);
    assert.equal((await answers()).length, 2);
  });
});

describe("single steps", () => {
  it("are wanted while one waits or flies", () => {
    const queue = new Queue();
    assert.equal(queue.steps, false);
    queue.add(keep(1), step());
    assert.equal(queue.steps, true);
    queue.take();
    assert.equal(queue.steps, true);
    queue.land(true);
    assert.equal(queue.steps, false);
  });

  it("are dropped where they wait, and nothing else is", async () => {
    const queue = new Queue();
    const answers = watch({ step: queue.add(step()), keep: queue.add(keep(1)), again: queue.add(step()) });
    assert.equal(queue.dropSteps(), false, "nothing flies");
    assert.deepEqual(await answers(), [["step", false], ["again", false]]);
    assert.deepEqual(queue.take(), [keep(1)]);
  });

  it("stay in flight; the turn may be given up if it is for them alone", () => {
    const tables = [
      [[step()], true],
      [[PAUSE, step()], true],
      [[step(), step()], true],
      [[PAUSE], false],
      [[step(), keep(1)], false],
      [[], false],
    ];
    for (const [acts, expected] of tables) {
      const queue = new Queue();
      for (const act of acts) queue.add(act);
      queue.take();
      assert.equal(queue.dropSteps(), expected, JSON.stringify(acts));
      assert.deepEqual(queue.flying, acts);
    }
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { begin, settled, started } from "./stage.js";

const RUN = { do: "run" };
const PAUSE = { do: "pause" };
const keep = (tile) => ({ do: "keep", tile, seen: 0 });
const level = (value) => ({ do: "level", level: value });
const step = () => ({ do: "step", times: 1 });
const RUNNING = { running: true };

/** Answer at once until the clock has gone on by `ms`; when the turns after the first began, and their steps. */
async function follow({ clock, partner }, ms, head = RUNNING) {
  const first = partner.turns.length;
  const began = clock.now;
  while (clock.now < began + ms) {
    if (partner.waiting) await partner.answer(head);
    await clock.advance(10);
  }
  return partner.turns.slice(first).map(({ at, steps }) => [at - began, steps]);
}

describe("the first turn", () => {
  it("asks for the state at once, and for no step", async (t) => {
    const { partner, clock } = await begin(t);
    assert.deepEqual(partner.turns, [{ acts: [], steps: 0, at: clock.now }]);
    await clock.advance(60_000);
    assert.equal(partner.turns.length, 1, "one turn in flight, never more");
  });

  it("carries what was wanted before it, but no step: whether the chains run is not known", async (t) => {
    const { partner, loop } = await begin(t);
    loop.send(RUN);
    await partner.answer();
    assert.deepEqual([partner.last.acts, partner.last.steps], [[RUN], 1]);
  });
});

describe("while nothing goes on", () => {
  it("asks once a second", async (t) => {
    const { partner, clock } = await started(t);
    for (const count of [2, 3]) {
      await clock.advance(999);
      assert.equal(partner.turns.length, count - 1);
      await clock.advance(1);
      assert.equal(partner.turns.length, count);
      assert.deepEqual([partner.last.acts, partner.last.steps], [[], 0]);
      await partner.answer();
    }
  });

  it("sends an event at once", async (t) => {
    const { partner, clock, loop } = await started(t);
    await clock.advance(300);
    loop.send(keep(1));
    await settled();
    assert.deepEqual(partner.last, { acts: [keep(1)], steps: 0, at: clock.now });
  });

  it("asks at once where what is shown is stale", async (t) => {
    const { partner, clock, loop } = await started(t);
    await clock.advance(300);
    loop.nudge();
    await settled();
    assert.equal(partner.turns.length, 1, "a nudge is not enough");
    loop.refresh();
    await settled();
    assert.deepEqual(partner.last, { acts: [], steps: 0, at: clock.now });
    await partner.answer();
    await clock.advance(999);
    assert.equal(partner.turns.length, 2, "once");
  });

  it("asks for nothing in a hidden tab, and at once when it is seen again", async (t) => {
    const { partner, clock, tab, loop } = await started(t);
    await tab.turn(true);
    await clock.advance(60_000);
    loop.send(keep(1));
    await clock.advance(60_000);
    assert.equal(partner.turns.length, 1);
    await tab.turn(false);
    assert.deepEqual(partner.last, { acts: [keep(1)], steps: 0, at: clock.now });
  });
});

describe("events", () => {
  it("wait for the turn in flight, then go together", async (t) => {
    const { partner, loop } = await begin(t);
    loop.send(keep(1));
    loop.send(keep(2));
    await settled();
    assert.equal(partner.turns.length, 1);
    assert.deepEqual(loop.pending, [keep(1), keep(2)]);
    await partner.answer();
    assert.deepEqual(partner.last.acts, [keep(1), keep(2)]);
    assert.deepEqual(loop.pending, [keep(1), keep(2)]);
    await partner.answer();
    assert.deepEqual(loop.pending, []);
  });

  it("are done when the answer has come, and no longer pending when it is drawn", async (t) => {
    const { partner, loop } = await started(t);
    let done = null;
    loop.send(keep(1)).then((value) => (done = value));
    let pending = null;
    partner.receive = () => (pending = loop.pending);
    await settled();
    assert.equal(done, null);
    await partner.answer();
    assert.equal(done, true);
    assert.deepEqual(pending, []);
  });

  it("are shown before they are sent", async (t) => {
    const { partner, loop } = await started(t);
    const before = partner.changes;
    loop.send(keep(1));
    assert.equal(partner.changes, before + 1);
  });
});

describe("running", () => {
  it("asks for the next step as soon as the last is there", async (t) => {
    const stage = await started(t, RUNNING);
    const { partner, clock } = stage;
    assert.deepEqual([partner.last.steps, partner.turns.length], [1, 2]);
    await clock.advance(40);
    await partner.answer(RUNNING);
    assert.deepEqual(partner.last, { acts: [], steps: 1, at: clock.now });
  });

  it("keeps to the limit of steps a second, whatever the stride", async (t) => {
    const stage = await started(t, RUNNING, { stride: 2, limit: 20 });
    assert.deepEqual(stage.partner.last.steps, 2);
    assert.deepEqual(await follow(stage, 310), [[100, 2], [200, 2], [300, 2]]);
  });

  it("does not make up for slow answers", async (t) => {
    const stage = await started(t, RUNNING, { limit: 10 });
    await stage.clock.advance(950);
    assert.deepEqual(await follow(stage, 210), [[0, 1], [100, 1], [200, 1]]);
  });

  it("sends events between two steps without a step of their own", async (t) => {
    const stage = await started(t, RUNNING, { limit: 10 });
    const { partner, clock, loop } = stage;
    await partner.answer(RUNNING);
    await clock.advance(30);
    loop.send(keep(1));
    await settled();
    assert.deepEqual([partner.last.acts, partner.last.steps], [[keep(1)], 0]);
    assert.deepEqual(await follow(stage, 80), [[70, 1]]);
  });

  it("steps with the event that starts it, and not with the one that stops it", async (t) => {
    const { partner, clock, loop } = await started(t, {}, { stride: 4 });
    await clock.advance(500);
    loop.send(RUN);
    await settled();
    assert.deepEqual([partner.last.acts, partner.last.steps], [[RUN], 4]);
    loop.send(PAUSE);
    await partner.answer(RUNNING);
    assert.deepEqual([partner.last.acts, partner.last.steps], [[PAUSE], 0]);
    await partner.answer();
    await clock.advance(999);
    assert.equal(partner.turns.length, 3, "it polls");
  });

  it("rests for a tenth of a second after an answer without a picture", async (t) => {
    const { partner, clock } = await started(t, RUNNING);
    await partner.answer(RUNNING, null);
    await clock.advance(99);
    assert.equal(partner.turns.length, 2);
    await clock.advance(1);
    assert.equal(partner.turns.length, 3);
  });

  it("takes a new limit from the next step on when it is nudged", async (t) => {
    const stage = await started(t, RUNNING, { limit: 1 });
    const { partner, clock, loop } = stage;
    await partner.answer(RUNNING);
    await clock.advance(200);
    partner.settings.limit = 2;
    loop.nudge();
    await clock.advance(299);
    assert.equal(partner.turns.length, 2);
    await clock.advance(1);
    assert.equal(partner.last.at, clock.now);
    assert.equal(partner.turns.length, 3);
  });

  it("stops in a hidden tab", async (t) => {
    const { partner, clock, tab } = await started(t, RUNNING);
    await tab.turn(true);
    await partner.answer(RUNNING);
    await clock.advance(5000);
    assert.equal(partner.turns.length, 2);
    await tab.turn(false);
    assert.deepEqual([partner.turns.length, partner.last.steps], [3, 1]);
  });

  it("replays sixteen steps a turn, also where the chains do not run", async (t) => {
    const { partner } = await started(t, { replaying: { done: 0, total: 40 } });
    assert.deepEqual([partner.turns.length, partner.last.steps], [2, 16]);
  });
});

describe("a change of the noise level", () => {
  it("gives up the step in flight: it goes at once, and a step with it", async (t) => {
    const { partner, clock, loop } = await started(t, RUNNING, { limit: 1 });
    await clock.advance(30);
    loop.send(level(0.2));
    await settled();
    assert.deepEqual(partner.last, { acts: [level(0.2)], steps: 1, at: clock.now });
    assert.deepEqual(partner.told, [], "nothing has failed");
  });

  it("does so once a frame, not at each move of the slider", async (t) => {
    const { partner, loop } = await started(t, RUNNING);
    for (const value of [0.2, 0.3, 0.4, 0.5]) {
      loop.send(level(value));
      await settled();
    }
    assert.equal(partner.turns.length, 3);
    assert.deepEqual(partner.last.acts, [level(0.2)]);
    await partner.answer(RUNNING);
    assert.deepEqual(partner.last.acts, [level(0.5)]);
    await partner.answer(RUNNING);
    loop.send(level(0.6));
    await settled();
    assert.deepEqual([partner.turns.length, partner.last.acts], [6, [level(0.6)]], "a frame has come since");
  });

  it("does not give up another step before a frame has come: the picture would stand still", async (t) => {
    const { partner, clock, loop } = await started(t, RUNNING);
    loop.send(level(0.2));
    await settled();
    await partner.answer(RUNNING, null);
    await clock.advance(100);
    assert.deepEqual([partner.turns.length, partner.last.acts, partner.last.steps], [4, [], 1]);
    loop.send(level(0.3));
    await settled();
    assert.equal(partner.turns.length, 4);
    await partner.answer(RUNNING);
    assert.deepEqual(partner.last.acts, [level(0.3)]);
  });

  it("gives up no turn that carries events", async (t) => {
    const { partner, loop } = await started(t);
    loop.send(keep(1));
    await settled();
    loop.send(level(0.2));
    await settled();
    assert.deepEqual(partner.last.acts, [keep(1)]);
    await partner.answer();
    assert.deepEqual(partner.last.acts, [level(0.2)]);
  });
});

describe("single steps", () => {
  it("are stepping once they take longer than a quarter of a second, and the page hears of it", async (t) => {
    const { partner, clock, loop } = await started(t);
    await clock.advance(500);
    assert.equal(loop.stepping, false);
    loop.send(step());
    await clock.advance(249);
    assert.equal(loop.stepping, false);
    const before = partner.changes;
    await clock.advance(1);
    assert.equal(loop.stepping, true);
    assert.equal(partner.changes, before + 1);
    await partner.answer();
    assert.equal(loop.stepping, false);
  });

  it("that follow one another closely count as one row", async (t) => {
    const { partner, clock, loop } = await started(t);
    await clock.advance(500);
    loop.send(step());
    await clock.advance(150);
    await partner.answer();
    loop.send(step());
    await clock.advance(99);
    assert.equal(loop.stepping, false);
    await clock.advance(1);
    assert.equal(loop.stepping, true, "the second took a tenth, the row a quarter");
    await partner.answer();
    await clock.advance(251);
    loop.send(step());
    assert.equal(loop.stepping, false, "a new row");
  });

  it("are dropped, the one in flight too, without a word of failure", async (t) => {
    const { partner, loop } = await started(t);
    const answers = [loop.send(step())];
    await settled();
    answers.push(loop.send(step()));
    loop.dropSteps();
    assert.deepEqual(await Promise.all(answers), [false, false]);
    await settled();
    assert.deepEqual(loop.pending, []);
    assert.equal(partner.waiting, false);
    assert.deepEqual(partner.told, []);
  });

  it("in flight with something else are not", async (t) => {
    const { partner, loop } = await started(t);
    loop.send(keep(1), step());
    await settled();
    loop.dropSteps();
    await settled();
    assert.equal(partner.waiting, true);
    assert.deepEqual(loop.pending, [keep(1), step()]);
  });
});

describe("a refusal", () => {
  for (const status of [409, 413, 422]) {
    it(`${status} of an event is told, and the loop goes on`, async (t) => {
      const { partner, clock, loop } = await started(t);
      const done = loop.send(keep(9));
      await settled();
      const before = partner.changes;
      await partner.fail(status, "There is no tile 10");
      assert.equal(await done, false);
      assert.deepEqual(partner.told, [["refused", "There is no tile 10"]]);
      assert.deepEqual(loop.pending, []);
      assert.equal(partner.changes, before + 1, "what was expected is not shown any more");
      await clock.advance(1000);
      assert.deepEqual([partner.turns.length, partner.last.acts], [3, []]);
    });
  }

  it("takes no event with it that came later", async (t) => {
    const { partner, loop } = await started(t);
    loop.send(keep(9));
    await settled();
    const done = loop.send(keep(1));
    await partner.fail(422);
    assert.deepEqual(partner.last.acts, [keep(1)]);
    await partner.answer();
    assert.equal(await done, true);
  });

  it("of a step is a failure: the next is tried two seconds later", async (t) => {
    const { partner, clock } = await started(t, RUNNING);
    await partner.fail(409, "The model gives no numbers");
    assert.deepEqual(partner.told, [["failed", "The model gives no numbers"]]);
    await clock.advance(1999);
    assert.equal(partner.turns.length, 2);
    await clock.advance(1);
    assert.deepEqual([partner.turns.length, partner.last.steps], [3, 1]);
    await partner.answer(RUNNING);
    assert.equal(partner.turns.length, 4, "and the pause is over");
  });
});

describe("a server that is gone", () => {
  it("is asked every two seconds, and told of once it is back, before its answer", async (t) => {
    const { partner, clock } = await started(t, RUNNING);
    for (const count of [2, 3]) {
      await partner.fail(0);
      await clock.advance(1999);
      assert.equal(partner.turns.length, count);
      await clock.advance(1);
      assert.equal(partner.turns.length, count + 1);
    }
    await partner.answer(RUNNING);
    assert.deepEqual(partner.told, [["lost", 0], ["lost", 0], ["lost", null], ["receive", true, true]]);
    await partner.answer(RUNNING);
    assert.deepEqual(partner.told.slice(4), [["receive", true, true]], "once");
  });

  for (const status of [0, 401, 500]) {
    it(`${status}: what was wanted is given up`, async (t) => {
      const { partner, clock, loop } = await started(t);
      const answers = [loop.send(keep(1))];
      await settled();
      answers.push(loop.send(keep(2)));
      await partner.fail(status);
      assert.deepEqual(await Promise.all(answers), [false, false]);
      assert.deepEqual(loop.pending, []);
      await clock.advance(2000);
      assert.deepEqual(partner.last.acts, []);
    });
  }

  it("takes nothing on until it is back", async (t) => {
    const { partner, clock, loop } = await started(t);
    await clock.advance(1000);
    await partner.fail(0);
    const changes = partner.changes;
    assert.equal(await loop.send(keep(1)), false);
    assert.deepEqual(loop.pending, []);
    assert.equal(partner.changes, changes);
    await clock.advance(2000);
    assert.deepEqual(partner.last.acts, []);
    await partner.answer();
    loop.send(keep(1));
    await settled();
    assert.deepEqual(partner.last.acts, [keep(1)]);
  });

  it("that is only busy is sent the same events again", async (t) => {
    const { partner, clock, loop } = await started(t);
    const answers = [loop.send(keep(1))];
    await settled();
    answers.push(loop.send(keep(2)));
    for (let i = 0; i < 2; i++) {
      await partner.fail(503);
      assert.deepEqual(loop.pending, [keep(1), keep(2)]);
      await clock.advance(1999);
      assert.equal(partner.waiting, false);
      await clock.advance(1);
      assert.deepEqual(partner.last.acts, [keep(1), keep(2)]);
    }
    await partner.answer();
    assert.deepEqual(await Promise.all(answers), [true, true]);
    assert.deepEqual(partner.told, [["lost", 503], ["lost", 503], ["lost", null], ["receive", false, true]]);
  });
});

describe("an error of the page itself", () => {
  it("ends the loop, with that error", async (t) => {
    const { partner, clock, ended } = await started(t, RUNNING);
    await partner.break(new TypeError("a mistake"));
    await assert.rejects(ended, new TypeError("a mistake"));
    await clock.advance(10_000);
    assert.equal(partner.turns.length, 2);
  });
});

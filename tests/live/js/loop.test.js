import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { begin, settled, started } from "./fakes.js";

const RUN = { do: "run" };
const PAUSE = { do: "pause" };
const keep = (tile) => ({ do: "keep", tile, seen: 0 });
const level = (value) => ({ do: "level", level: value });
const step = () => ({ do: "step", times: 1 });
const RUNNING = { running: true };

/** Answer at once for `ms` milliseconds; returns the start time and the steps of each further turn. */
async function follow({ clock, host }, ms, head = RUNNING) {
  const first = host.turns.length;
  const began = clock.now;
  while (clock.now < began + ms) {
    if (host.waiting) await host.answer(head);
    await clock.advance(10);
  }
  return host.turns.slice(first).map(({ at, steps }) => [at - began, steps]);
}

describe("the first turn", () => {
  it("requests the state at once, and no step", async (t) => {
    const { host, clock } = await begin(t);
    assert.deepEqual(host.turns, [{ events: [], steps: 0, at: clock.now }]);
    await clock.advance(60_000);
    assert.equal(host.turns.length, 1, "at most one turn in flight");
  });

  it("sends earlier events but no step, because it is unknown whether the chains run", async (t) => {
    const { host, loop } = await begin(t);
    loop.send(RUN);
    await host.answer();
    assert.deepEqual([host.last.events, host.last.steps], [[RUN], 1]);
  });
});

describe("while idle", () => {
  it("polls once a second", async (t) => {
    const { host, clock } = await started(t);
    for (const count of [2, 3]) {
      await clock.advance(999);
      assert.equal(host.turns.length, count - 1);
      await clock.advance(1);
      assert.equal(host.turns.length, count);
      assert.deepEqual([host.last.events, host.last.steps], [[], 0]);
      await host.answer();
    }
  });

  it("sends an event at once", async (t) => {
    const { host, clock, loop } = await started(t);
    await clock.advance(300);
    loop.send(keep(1));
    await settled();
    assert.deepEqual(host.last, { events: [keep(1)], steps: 0, at: clock.now });
  });

  it("requests a frame at once if the one shown is stale", async (t) => {
    const { host, clock, loop } = await started(t);
    await clock.advance(300);
    loop.nudge();
    await settled();
    assert.equal(host.turns.length, 1, "a nudge is not enough");
    loop.refresh();
    await settled();
    assert.deepEqual(host.last, { events: [], steps: 0, at: clock.now });
    await host.answer();
    await clock.advance(999);
    assert.equal(host.turns.length, 2, "once");
  });

  it("requests nothing in a hidden tab, and a frame at once when it is visible again", async (t) => {
    const { host, clock, tab, loop } = await started(t);
    await tab.turn(true);
    await clock.advance(60_000);
    loop.send(keep(1));
    await clock.advance(60_000);
    assert.equal(host.turns.length, 1);
    await tab.turn(false);
    assert.deepEqual(host.last, { events: [keep(1)], steps: 0, at: clock.now });
  });
});

describe("events", () => {
  it("wait for the turn in flight, then share one turn", async (t) => {
    const { host, loop } = await begin(t);
    loop.send(keep(1));
    loop.send(keep(2));
    await settled();
    assert.equal(host.turns.length, 1);
    assert.deepEqual(loop.pending, [keep(1), keep(2)]);
    await host.answer();
    assert.deepEqual(host.last.events, [keep(1), keep(2)]);
    assert.deepEqual(loop.pending, [keep(1), keep(2)]);
    await host.answer();
    assert.deepEqual(loop.pending, []);
  });

  it("are done when the response has arrived, and no longer pending when it is drawn", async (t) => {
    const { host, loop } = await started(t);
    let done = null;
    loop.send(keep(1)).then((value) => (done = value));
    let pending = null;
    host.receive = () => (pending = loop.pending);
    await settled();
    assert.equal(done, null);
    await host.answer();
    assert.equal(done, true);
    assert.deepEqual(pending, []);
  });

  it("are shown before they are sent", async (t) => {
    const { host, loop } = await started(t);
    const before = host.changes;
    loop.send(keep(1));
    assert.equal(host.changes, before + 1);
  });
});

describe("running", () => {
  it("requests the next step as soon as the last has arrived", async (t) => {
    const fakes = await started(t, RUNNING);
    const { host, clock } = fakes;
    assert.deepEqual([host.last.steps, host.turns.length], [1, 2]);
    await clock.advance(40);
    await host.answer(RUNNING);
    assert.deepEqual(host.last, { events: [], steps: 1, at: clock.now });
  });

  it("keeps the limit of steps per second with any stride", async (t) => {
    const fakes = await started(t, RUNNING, { stride: 2, limit: 20 });
    assert.deepEqual(fakes.host.last.steps, 2);
    assert.deepEqual(await follow(fakes, 310), [[100, 2], [200, 2], [300, 2]]);
  });

  it("does not catch up after slow responses", async (t) => {
    const fakes = await started(t, RUNNING, { limit: 10 });
    await fakes.clock.advance(950);
    assert.deepEqual(await follow(fakes, 210), [[0, 1], [100, 1], [200, 1]]);
  });

  it("sends events between two steps without an extra step", async (t) => {
    const fakes = await started(t, RUNNING, { limit: 10 });
    const { host, clock, loop } = fakes;
    await host.answer(RUNNING);
    await clock.advance(30);
    loop.send(keep(1));
    await settled();
    assert.deepEqual([host.last.events, host.last.steps], [[keep(1)], 0]);
    assert.deepEqual(await follow(fakes, 80), [[70, 1]]);
  });

  it("steps in the turn of the event that starts it, not of the one that stops it", async (t) => {
    const { host, clock, loop } = await started(t, {}, { stride: 4 });
    await clock.advance(500);
    loop.send(RUN);
    await settled();
    assert.deepEqual([host.last.events, host.last.steps], [[RUN], 4]);
    loop.send(PAUSE);
    await host.answer(RUNNING);
    assert.deepEqual([host.last.events, host.last.steps], [[PAUSE], 0]);
    await host.answer();
    await clock.advance(999);
    assert.equal(host.turns.length, 3, "it polls");
  });

  it("waits for a tenth of a second after a response without a picture", async (t) => {
    const { host, clock } = await started(t, RUNNING);
    await host.answer(RUNNING, null);
    await clock.advance(99);
    assert.equal(host.turns.length, 2);
    await clock.advance(1);
    assert.equal(host.turns.length, 3);
  });

  it("applies a new limit from the next step after a nudge", async (t) => {
    const fakes = await started(t, RUNNING, { limit: 1 });
    const { host, clock, loop } = fakes;
    await host.answer(RUNNING);
    await clock.advance(200);
    host.settings.limit = 2;
    loop.nudge();
    await clock.advance(299);
    assert.equal(host.turns.length, 2);
    await clock.advance(1);
    assert.equal(host.last.at, clock.now);
    assert.equal(host.turns.length, 3);
  });

  it("stops in a hidden tab", async (t) => {
    const { host, clock, tab } = await started(t, RUNNING);
    await tab.turn(true);
    await host.answer(RUNNING);
    await clock.advance(5000);
    assert.equal(host.turns.length, 2);
    await tab.turn(false);
    assert.deepEqual([host.turns.length, host.last.steps], [3, 1]);
  });

  it("replays sixteen steps a turn, even if the chains do not run", async (t) => {
    const { host } = await started(t, { replaying: { done: 0, total: 40 } });
    assert.deepEqual([host.turns.length, host.last.steps], [2, 16]);
  });
});

describe("a change of the noise level", () => {
  it("cancels the step in flight and is sent at once, with a step", async (t) => {
    const { host, clock, loop } = await started(t, RUNNING, { limit: 1 });
    await clock.advance(30);
    loop.send(level(0.2));
    await settled();
    assert.deepEqual(host.last, { events: [level(0.2)], steps: 1, at: clock.now });
    assert.deepEqual(host.told, [], "nothing has failed");
  });

  it("cancels once for each frame, not at each move of the slider", async (t) => {
    const { host, loop } = await started(t, RUNNING);
    for (const value of [0.2, 0.3, 0.4, 0.5]) {
      loop.send(level(value));
      await settled();
    }
    assert.equal(host.turns.length, 3);
    assert.deepEqual(host.last.events, [level(0.2)]);
    await host.answer(RUNNING);
    assert.deepEqual(host.last.events, [level(0.5)]);
    await host.answer(RUNNING);
    loop.send(level(0.6));
    await settled();
    assert.deepEqual([host.turns.length, host.last.events], [6, [level(0.6)]], "a frame has arrived since");
  });

  it("does not cancel another step before a frame has arrived, or the picture would freeze", async (t) => {
    const { host, clock, loop } = await started(t, RUNNING);
    loop.send(level(0.2));
    await settled();
    await host.answer(RUNNING, null);
    await clock.advance(100);
    assert.deepEqual([host.turns.length, host.last.events, host.last.steps], [4, [], 1]);
    loop.send(level(0.3));
    await settled();
    assert.equal(host.turns.length, 4);
    await host.answer(RUNNING);
    assert.deepEqual(host.last.events, [level(0.3)]);
  });

  it("does not cancel a turn with events", async (t) => {
    const { host, loop } = await started(t);
    loop.send(keep(1));
    await settled();
    loop.send(level(0.2));
    await settled();
    assert.deepEqual(host.last.events, [keep(1)]);
    await host.answer();
    assert.deepEqual(host.last.events, [level(0.2)]);
  });
});

describe("single steps", () => {
  it("count as stepping after a quarter of a second, and the host is notified", async (t) => {
    const { host, clock, loop } = await started(t);
    await clock.advance(500);
    assert.equal(loop.stepping, false);
    loop.send(step());
    await clock.advance(249);
    assert.equal(loop.stepping, false);
    const before = host.changes;
    await clock.advance(1);
    assert.equal(loop.stepping, true);
    assert.equal(host.changes, before + 1);
    await host.answer();
    assert.equal(loop.stepping, false);
  });

  it("in close succession count as one series", async (t) => {
    const { host, clock, loop } = await started(t);
    await clock.advance(500);
    loop.send(step());
    await clock.advance(150);
    await host.answer();
    loop.send(step());
    await clock.advance(99);
    assert.equal(loop.stepping, false);
    await clock.advance(1);
    assert.equal(loop.stepping, true, "the second took a tenth, the series a quarter");
    await host.answer();
    await clock.advance(251);
    loop.send(step());
    assert.equal(loop.stepping, false, "a new series");
  });

  it("are dropped, including the one in flight, without an error", async (t) => {
    const { host, loop } = await started(t);
    const answers = [loop.send(step())];
    await settled();
    answers.push(loop.send(step()));
    loop.dropSteps();
    assert.deepEqual(await Promise.all(answers), [false, false]);
    await settled();
    assert.deepEqual(loop.pending, []);
    assert.equal(host.waiting, false);
    assert.deepEqual(host.told, []);
  });

  it("in flight with another event are not dropped", async (t) => {
    const { host, loop } = await started(t);
    loop.send(keep(1), step());
    await settled();
    loop.dropSteps();
    await settled();
    assert.equal(host.waiting, true);
    assert.deepEqual(loop.pending, [keep(1), step()]);
  });
});

describe("a refusal", () => {
  for (const status of [409, 413, 422]) {
    it(`${status} of an event is reported, and the loop continues`, async (t) => {
      const { host, clock, loop } = await started(t);
      const done = loop.send(keep(9));
      await settled();
      const before = host.changes;
      await host.fail(status, "There is no tile 10");
      assert.equal(await done, false);
      assert.deepEqual(host.told, [["refused", "There is no tile 10"]]);
      assert.deepEqual(loop.pending, []);
      assert.equal(host.changes, before + 1, "the optimistic update is reverted");
      await clock.advance(1000);
      assert.deepEqual([host.turns.length, host.last.events], [3, []]);
    });
  }

  it("does not affect later events", async (t) => {
    const { host, loop } = await started(t);
    loop.send(keep(9));
    await settled();
    const done = loop.send(keep(1));
    await host.fail(422);
    assert.deepEqual(host.last.events, [keep(1)]);
    await host.answer();
    assert.equal(await done, true);
  });

  it("of a step is a failure; the next step follows two seconds later", async (t) => {
    const { host, clock } = await started(t, RUNNING);
    await host.fail(409, "The model gives no numbers");
    assert.deepEqual(host.told, [["failed", "The model gives no numbers"]]);
    await clock.advance(1999);
    assert.equal(host.turns.length, 2);
    await clock.advance(1);
    assert.deepEqual([host.turns.length, host.last.steps], [3, 1]);
    await host.answer(RUNNING);
    assert.equal(host.turns.length, 4, "and the pause is over");
  });
});

describe("a server that does not respond", () => {
  it("is polled every two seconds; its return is reported before its response", async (t) => {
    const { host, clock } = await started(t, RUNNING);
    for (const count of [2, 3]) {
      await host.fail(0);
      await clock.advance(1999);
      assert.equal(host.turns.length, count);
      await clock.advance(1);
      assert.equal(host.turns.length, count + 1);
    }
    await host.answer(RUNNING);
    assert.deepEqual(host.told, [["lost", 0], ["lost", 0], ["lost", null], ["receive", true, true]]);
    await host.answer(RUNNING);
    assert.deepEqual(host.told.slice(4), [["receive", true, true]], "once");
  });

  for (const status of [0, 401, 500]) {
    it(`${status}: pending events are discarded, and that is said`, async (t) => {
      const { host, clock, loop } = await started(t);
      const answers = [loop.send(keep(1))];
      await settled();
      answers.push(loop.send(keep(2)));
      await host.fail(status);
      assert.deepEqual(await Promise.all(answers), [false, false]);
      assert.deepEqual(loop.pending, []);
      const unsure = "The server does not respond: what you did last may not be done.";
      assert.deepEqual(host.told, [["refused", unsure], ["lost", status]]);
      await clock.advance(2000);
      assert.deepEqual(host.last.events, []);
    });
  }

  it("that hangs is waited for, and the time is known", async (t) => {
    const { host, clock, loop } = await started(t);
    assert.equal(loop.waiting, 0);
    const done = loop.send(keep(1));
    await clock.advance(25_000);
    assert.equal(loop.waiting, 25);
    await host.answer();
    assert.deepEqual([await done, loop.waiting], [true, 0]);
  });

  it("gets no new events until it is back", async (t) => {
    const { host, clock, loop } = await started(t);
    await clock.advance(1000);
    await host.fail(0);
    const changes = host.changes;
    assert.equal(await loop.send(keep(1)), false);
    assert.deepEqual(loop.pending, []);
    assert.deepEqual(host.told.at(-1), ["refused", "Not done: the server does not respond."]);
    assert.equal(host.changes, changes + 1, "so that controls show what holds");
    await clock.advance(2000);
    assert.deepEqual(host.last.events, []);
    await host.answer();
    loop.send(keep(1));
    await settled();
    assert.deepEqual(host.last.events, [keep(1)]);
  });

  it("that is only busy gets the same events again", async (t) => {
    const { host, clock, loop } = await started(t);
    const answers = [loop.send(keep(1))];
    await settled();
    answers.push(loop.send(keep(2)));
    for (let i = 0; i < 2; i++) {
      await host.fail(503);
      assert.deepEqual(loop.pending, [keep(1), keep(2)]);
      await clock.advance(1999);
      assert.equal(host.waiting, false);
      await clock.advance(1);
      assert.deepEqual(host.last.events, [keep(1), keep(2)]);
    }
    await host.answer();
    assert.deepEqual(await Promise.all(answers), [true, true]);
    assert.deepEqual(host.told, [["lost", 503], ["lost", 503], ["lost", null], ["receive", false, true]]);
  });
});

describe("an error in the page itself", () => {
  it("ends the loop with that error", async (t) => {
    const { host, clock, ended } = await started(t, RUNNING);
    await host.break(new TypeError("a mistake"));
    await assert.rejects(ended, new TypeError("a mistake"));
    await clock.advance(10_000);
    assert.equal(host.turns.length, 2);
  });
});

import assert from "node:assert/strict";
import test from "node:test";

import { inOrder } from "../../../src/nkca/live/static/strips.js";

/** @param {number} id @param {number} [action] */
const entry = (id, action = id) => ({ id, action, label: "", step: 0, level: 0, automatic: action !== id });

/** @param {ReturnType<typeof inOrder>} order */
const text = (order) => order.map(({ entry, kind }) => (entry ? `${kind[0]}${entry.id}` : "now")).join(" ");

test("a line without branches has the present at its place", () => {
  assert.equal(text(inOrder([entry(0), entry(1), entry(2)], 2, [])), "p0 p1 now f2");
});

test("branches stand behind the last moment of the action that they followed, also within each other", () => {
  const branches = [{ root: 1, entries: [entry(4), entry(5)] }, { root: 4, entries: [entry(6)] }];
  assert.equal(text(inOrder([entry(0), entry(1), entry(2, 1), entry(7)], 3, branches)), "p0 p1 p2 b4 b6 b5 now f7");
});

test("a branch of the present, or of a moment that is not stored, stands behind the present", () => {
  assert.equal(text(inOrder([entry(0)], 1, [{ root: 3, entries: [entry(4)] }])), "p0 now b4");
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { coloursOf, nearest } from "../../../src/nkca/live/static/colour.js";

/** Pixels of a canvas, from grey values. */
const pixels = (...greys) => Uint8ClampedArray.from(greys.flatMap((v) => [v, v, v, 255]));

describe("colours of a picture", () => {
  it("are black, white and the most frequent ones that differ, the most frequent first", () => {
    const found = coloursOf(pixels(96, 200, 200, 200, 97, 205, 40), false);
    assert.deepEqual(found.map(([red]) => red), [0, 255, 208, 96, 48]);
  });

  it("are not too many", () => {
    const many = pixels(...Array.from({ length: 256 }, (_, i) => i));
    assert.equal(coloursOf(many, false).length, 12);
    assert.equal(coloursOf(many, true).length, 6);
  });

  it("of a palette: the nearest, the first of equals, with alpha", () => {
    const palette = [[0, 0, 0, 0], [250, 0, 0, 255], [0, 0, 0, 255], [0, 0, 0, 255]];
    assert.equal(nearest(palette, [255, 10, 0, 255]), 1);
    assert.equal(nearest(palette, [9, 9, 9, 255]), 2);
    assert.equal(nearest(palette, [0, 0, 0, 20]), 0);
  });
});

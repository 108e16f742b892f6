import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { fitTiles } from "../../../src/nkca/live/static/grid.js";

globalThis.devicePixelRatio = 1;
const SQUARE = { width: 28, height: 28 };
const GAP = 8;

describe("tiles", () => {
  const cases = [
    [{ width: 920, height: 480 }, 16, 4], // 6 + 6 + 4 would be larger, but ragged
    [{ width: 360, height: 480 }, 16, 4],
    [{ width: 1800, height: 300 }, 16, 8],
    [{ width: 920, height: 480 }, 6, 3],
    [{ width: 920, height: 480 }, 7, 4], // a row of 7 would be half as large
    [{ width: 500, height: 500 }, 1, 1],
  ];
  for (const [room, count, columns] of cases) {
    it(`${count} in ${room.width} x ${room.height} lie in ${columns} columns, inside the room`, () => {
      const fit = fitTiles(room, count, SQUARE, GAP);
      assert.equal(fit.columns, columns);
      const rows = Math.ceil(count / columns);
      assert.ok(columns * (fit.width + GAP) - GAP <= room.width && rows * (fit.height + GAP) - GAP <= room.height);
    });
  }

  it("are at least 40 pixels, if there are too many for the room", () => {
    assert.deepEqual(fitTiles({ width: 200, height: 100 }, 64, SQUARE, GAP), { columns: 4, width: 40, height: 40 });
  });
});

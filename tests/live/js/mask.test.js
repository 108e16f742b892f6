import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { FULL, Mask } from "../../../src/nkca/live/static/mask.js";

/** A mask from rows of "#" (painted) and "." */
function drawn(...rows) {
  const cells = Uint8Array.from(rows.join(""), (letter) => FULL * Number(letter === "#"));
  return new Mask(rows[0].length, rows.length, cells);
}

/** The rows of a mask, as `drawn` takes them. */
function rows({ width, height, cells }) {
  const text = [...cells].map((cell) => (cell ? "#" : ".")).join("");
  return Array.from({ length: height }, (_, y) => text.slice(y * width, (y + 1) * width));
}

const bytes = (...values) => Buffer.from(values).toString("base64");

describe("as text", () => {
  it("has the first pixel in the highest bit, row by row", () => {
    const cases = [
      [drawn("#.......", "........"), [0x80, 0]],
      [drawn(".......#", "........"), [0x01, 0]],
      [drawn("........", "#......."), [0, 0x80]],
      [drawn("#.#.....", "......##"), [0xa0, 0x03]],
      [drawn("###", "...", "..#"), [0xe0, 0x80]], // only the end is padded, not each row
      [drawn("#"), [0x80]],
      [drawn("........."), [0, 0]],
    ];
    for (const [mask, expected] of cases) {
      assert.equal(mask.toBase64(), bytes(...expected));
      assert.deepEqual(rows(Mask.parse(mask.width, mask.height, bytes(...expected))), rows(mask));
    }
  });

  it("survives a round trip, for every size up to 9 x 9", () => {
    let random = 1;
    for (let width = 1; width <= 9; width++) {
      for (let height = 1; height <= 9; height++) {
        const mask = new Mask(width, height);
        mask.cells.forEach((_, i) => {
          random = (random * 48271) % 0x7fffffff;
          mask.cells[i] = FULL * (random & 1);
        });
        const text = mask.toBase64();
        assert.equal(Buffer.from(text, "base64").length, Math.ceil((width * height) / 8));
        const again = Mask.parse(width, height, text);
        assert.deepEqual([again.width, again.height], [width, height]);
        assert.ok(again.equals(mask), `${width} x ${height}`);
        assert.equal(again.toBase64(), text);
      }
    }
  });

  it("has a byte for each pixel if some make parts of steps", () => {
    const mask = new Mask(3, 2, Uint8Array.of(0, 255, 26, 128, 0, 0));
    assert.equal(mask.toBase64(), bytes(0, 255, 26, 128, 0, 0));
    assert.equal(mask.toBits(), bytes(0b01110000));
    assert.ok(Mask.parse(3, 2, mask.toBase64()).equals(mask));
    assert.ok(mask.holds);
    assert.ok(new Mask(2, 1, Uint8Array.of(26, 255)).holds, "all are painted, one faintly");
    mask.fill(77);
    assert.deepEqual([...mask.cells], [77, 255, 26, 128, 77, 77]);
  });

  it("of a large picture has all bytes, including those above 127", () => {
    const mask = new Mask(512, 512);
    mask.invert();
    assert.equal(mask.toBase64(), Buffer.alloc(512 * 64, 0xff).toString("base64"));
  });
});

describe("values", () => {
  it("start unpainted", () => {
    const mask = new Mask(3, 2);
    assert.deepEqual(rows(mask), ["...", "..."]);
    assert.equal(mask.painted, 0);
  });

  it("are counted, and hold pixels unless none or all are painted", () => {
    for (const [mask, painted, holds] of [
      [drawn("..", ".."), 0, false],
      [drawn(".#", ".."), 1, true],
      [drawn("##", ".#"), 3, true],
      [drawn("##", "##"), 4, false],
    ]) {
      assert.equal(mask.painted, painted);
      assert.equal(mask.holds, holds);
    }
  });

  it("are equal pixel by pixel", () => {
    assert.ok(drawn("#.", ".#").equals(drawn("#.", ".#")));
    assert.ok(!drawn("#.", ".#").equals(drawn("#.", "..")));
    assert.ok(!drawn("..", "..").equals(drawn("..", ".#")));
  });

  it("of a copy are independent", () => {
    const mask = drawn("#.", "..");
    const copy = mask.copy();
    copy.clear();
    assert.deepEqual(rows(mask), ["#.", ".."]);
    assert.deepEqual(rows(copy), ["..", ".."]);
  });

  it("are inverted, and inverted back", () => {
    const mask = drawn("#..", ".#.");
    mask.invert();
    assert.deepEqual(rows(mask), [".##", "#.#"]);
    mask.invert();
    assert.deepEqual(rows(mask), ["#..", ".#."]);
  });
});

describe("a dab", () => {
  const dab = (at, size, value = 1, mask = new Mask(5, 5)) => {
    mask.dab(at, size, value);
    return rows(mask);
  };

  it("of size 1 or less is the pixel under it", () => {
    for (const size of [0, 0.5, 1]) {
      for (const x of [2, 2.5, 2.99]) {
        assert.deepEqual(dab({ x, y: 1.2 }, size), [".....", "..#..", ".....", ".....", "....."], `${size} at ${x}`);
      }
    }
  });

  it("is round, with the centres of its pixels within the radius", () => {
    assert.deepEqual(dab({ x: 2.5, y: 2.5 }, 2), [".....", "..#..", ".###.", "..#..", "....."]);
    assert.deepEqual(dab({ x: 2.5, y: 2.5 }, 3), [".....", ".###.", ".###.", ".###.", "....."]);
    assert.deepEqual(dab({ x: 2, y: 2 }, 2), [".....", ".##..", ".##..", ".....", "....."]);
    assert.deepEqual(dab({ x: 2.5, y: 2.5 }, 5), [".###.", "#####", "#####", "#####", ".###."]);
  });

  it("at the edge is cut off and does not wrap around", () => {
    assert.deepEqual(dab({ x: 0.5, y: 0.5 }, 3), ["##...", "##...", ".....", ".....", "....."]);
    assert.deepEqual(dab({ x: 4.5, y: 2.5 }, 3), [".....", "...##", "...##", "...##", "....."]);
    assert.deepEqual(dab({ x: -4, y: 2 }, 3), [".....", ".....", ".....", ".....", "....."]);
    assert.deepEqual(dab({ x: 5.1, y: 2.5 }, 1), [".....", ".....", ".....", ".....", "....."]);
    assert.deepEqual(dab({ x: 2.5, y: 7 }, 2), [".....", ".....", ".....", ".....", "....."]);
  });

  it("of 0 erases", () => {
    const mask = new Mask(5, 5);
    mask.invert();
    assert.deepEqual(dab({ x: 2.5, y: 2.5 }, 2, 0, mask), ["#####", "##.##", "#...#", "##.##", "#####"]);
  });
});

describe("a stroke", () => {
  const stroke = (from, to, size, value = 1, mask = new Mask(6, 4)) => {
    mask.stroke(from, to, size, value);
    return rows(mask);
  };

  it("without length is a dab", () => {
    const at = { x: 2.5, y: 1.5 };
    const mask = new Mask(6, 4);
    mask.dab(at, 2, 1);
    assert.deepEqual(stroke(at, at, 2), rows(mask));
  });

  it("includes both ends and the pixels between, in either direction", () => {
    const [left, right] = [{ x: 0.5, y: 1.5 }, { x: 5.5, y: 1.5 }];
    const line = ["......", "######", "......", "......"];
    assert.deepEqual(stroke(left, right, 1), line);
    assert.deepEqual(stroke(right, left, 1), line);
    assert.deepEqual(stroke({ x: 3.5, y: 0.5 }, { x: 3.5, y: 3.5 }, 1), ["...#..", "...#..", "...#..", "...#.."]);
  });

  it("has no gaps, however far apart its ends are", () => {
    for (const to of [{ x: 63.5, y: 20.3 }, { x: 13.1, y: 63.9 }, { x: 63.5, y: 63.5 }, { x: 40.2, y: 0.1 }]) {
      const mask = new Mask(64, 64);
      mask.stroke({ x: 0.5, y: 0.5 }, to, 1, 1);
      assert.equal(reached(mask), mask.painted, JSON.stringify(to));
      assert.ok(mask.cells[Math.floor(to.y) * 64 + Math.floor(to.x)], "the end is painted");
    }
  });

  it("may run outside the picture", () => {
    assert.deepEqual(stroke({ x: -50, y: 2.5 }, { x: 50, y: 2.5 }, 1), ["......", "......", "######", "......"]);
  });

  it("of 0 erases the pixels on its path", () => {
    const mask = new Mask(6, 4);
    mask.invert();
    assert.deepEqual(stroke({ x: 0.5, y: 0.5 }, { x: 2.5, y: 0.5 }, 1, 0, mask), ["...###", "######", "######", "######"]);
  });
});

/** The number of painted pixels connected to the first, corners included. */
function reached({ width, cells }) {
  const seen = new Set([cells.indexOf(1)]);
  for (const cell of seen) {
    const x = cell % width;
    for (const dy of [-1, 0, 1]) {
      for (const dx of [-1, 0, 1]) {
        const inside = x + dx >= 0 && x + dx < width;
        if (inside && cells[cell + dy * width + dx]) seen.add(cell + dy * width + dx);
      }
    }
  }
  return seen.size;
}

// The largest size of tiles in a given area.

const MIN_PX = 40;
const FULL_ROWS_WORTH = 1.15; // an incomplete last row is accepted if it makes tiles larger by this factor
const WHOLE_PIXELS_WORTH = 0.88; // tiles may shrink to this factor for a whole number of device pixels per pixel

/**
 * @param {{width: number, height: number}} room
 * @param {number} count
 * @param {{width: number, height: number}} tile in pixels of the model
 * @param {number} gap
 * @returns {{columns: number, width: number, height: number}} in CSS pixels
 */
export function fitTiles(room, count, tile, gap) {
  let best = { columns: 1, scale: 0, worth: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const wide = (room.width - gap * (columns - 1)) / columns / tile.width;
    const high = (room.height - gap * (rows - 1)) / rows / tile.height;
    const scale = evenly(Math.min(wide, high));
    const worth = rows * columns === count ? scale * FULL_ROWS_WORTH : scale;
    if (worth > best.worth) best = { columns, scale, worth };
  }
  const least = MIN_PX / Math.min(tile.width, tile.height);
  const scale = Math.max(best.scale, least);
  const columns = best.scale < least ? columnsOf(room.width, tile.width * scale, gap) : best.columns;
  return { columns, width: tile.width * scale, height: tile.height * scale };
}

/** @param {number} scale */
function evenly(scale) {
  const device = scale * devicePixelRatio;
  const whole = Math.floor(device);
  return whole >= WHOLE_PIXELS_WORTH * device ? whole / devicePixelRatio : scale;
}

/**
 * @param {number} room
 * @param {number} width
 * @param {number} gap
 */
function columnsOf(room, width, gap) {
  return Math.max(1, Math.floor((room + gap) / (width + gap)));
}

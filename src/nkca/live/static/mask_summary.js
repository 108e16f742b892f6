// The line of the paint dialog that describes the mask.

/**
 * @param {import("./mask.js").Mask} mask
 * @param {boolean} saved
 */
export function maskSummary(mask, saved) {
  if (!mask.holds) return mask.painted ? "Everything is painted: the whole tile changes." : "Nothing is painted: the whole tile changes.";
  const percent = Math.max(1, Math.round((100 * mask.painted) / mask.cells.length));
  return `${percent}% painted. ${saved ? "In use." : "Not in use yet."}`;
}

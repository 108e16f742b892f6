// Starting tiles from image files, chosen, dropped or pasted, and from pictures of the shelf.

import { ServerError } from "./loop.js";
import { bytesToBase64 } from "./mask.js";
import { openSession } from "./sessions.js";
import { posted, request } from "./store.js";

/** @import { Commands } from "./commands.js" */

const SAME_SHAPE = 1.02; // ratios of width to height that differ by less than this factor

/**
 * Open a session file, or start tiles from pictures, one after another.
 *
 * @param {Commands} commands
 * @param {File[]} files
 * @param {number | null} dropped the tile that they were dropped on
 */
export async function openFiles(commands, files, dropped) {
  const session = files.find(({ name, type }) => type === "application/json" || name.toLowerCase().endsWith(".json"));
  if (session) return openSession(commands, session);
  const first = dropped ?? commands.store.now("picked");
  if (files.length === 1) return startTiles(commands, files[0], first);
  const tiles = tilesFrom(commands, first ?? 0).slice(0, files.length);
  for (const [i, tile] of tiles.entries()) await startTiles(commands, files[i], tile);
}

/**
 * Start a tile, or all, from a picture on the server.
 *
 * @param {Commands} commands
 * @param {string} address
 * @param {number | null} tile
 */
export async function startFrom(commands, address, tile) {
  const response = await fetch(address).catch(() => null);
  if (response?.ok) await startTiles(commands, await response.blob(), tile);
  else commands.front.toast("This picture could not be read.");
}

/**
 * A tile and all unlocked ones, in cyclic order from that tile.
 *
 * @param {Commands} commands
 * @param {number} first
 */
function tilesFrom({ store }, first) {
  const { batch } = store.about;
  const tiles = Array.from({ length: batch }, (_, i) => (first + i) % batch);
  return tiles.filter((tile) => tile === first || !store.now("locked").includes(tile));
}

/**
 * @param {Commands} commands
 * @param {Blob} file
 * @param {number | null} tile null: all unlocked ones
 */
async function startTiles({ store, front }, file, tile) {
  if (file.size > store.about.max_upload_bytes) return front.toast("This file is too large.");
  try {
    const fitted = await request("/api/fit", posted(file, "application/octet-stream"), (response) => response.arrayBuffer());
    if (!(await store.send({ do: "start", tile, image: bytesToBase64(new Uint8Array(fitted)) }))) return;
    front.say(tile === null ? "All unlocked tiles start from this picture." : `Tile ${tile + 1} starts from this picture.`);
    const cropped = await cropOf(file, store.about.data_shape);
    if (cropped) front.toast(cropped);
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    front.toast(error.message);
  }
}

/**
 * @param {Blob} file
 * @param {[number, number, number]} shape of the model's pictures: channels, height, width
 * @returns {Promise<string>} what the server cuts off to make the picture fit; "" if nothing
 */
async function cropOf(file, [, height, width]) {
  const image = new Image();
  const address = (image.src = URL.createObjectURL(file));
  await image.decode().catch(() => {});
  URL.revokeObjectURL(address);
  const { naturalWidth, naturalHeight } = image;
  const ratio = naturalWidth / naturalHeight / (width / height);
  if (!(Math.max(ratio, 1 / ratio) > SAME_SHAPE)) return "";
  const lost = ratio > 1 ? "the left and right edges were" : "the upper and lower edges were";
  return `The picture is ${naturalWidth} × ${naturalHeight}, the model's are ${width} × ${height}: ${lost} cut off.`;
}

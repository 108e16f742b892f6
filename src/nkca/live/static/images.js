// Starting tiles from image files: chosen, dropped or pasted.

import { base64, fit, ServerError } from "./api.js";
import { input } from "./dom.js";
import { say, toast } from "./messages.js";
import { openSession } from "./session.js";

/** @typedef {import("./store.js").Store} Store */

/** @param {Store} store */
export function startImages(store) {
  const chooser = input("open-image");
  chooser.addEventListener("change", () => {
    openFiles(store, chooser.files, null);
    chooser.value = "";
  });
  document.addEventListener("paste", (event) => isCovered() || openFiles(store, event.clipboardData?.files, null));
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    if (!isCovered()) markTarget(tileUnder(event));
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) markTarget(null);
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    markTarget(null);
    if (!isCovered()) openFiles(store, event.dataTransfer?.files, tileUnder(event));
  });
}

/**
 * Start the picked tile, or all, from a picture on the server.
 *
 * @param {Store} store
 * @param {string} address
 */
export async function startFrom(store, address) {
  const response = await fetch(address).catch(() => null);
  if (response?.ok) await startTiles(store, await response.blob(), store.head?.picked ?? null);
  else toast("This picture could not be read.");
}

/**
 * Open a session file, or start tiles from pictures, one after another.
 *
 * @param {Store} store
 * @param {FileList | null | undefined} files
 * @param {Element | null} cell where the files were dropped
 */
async function openFiles(store, files, cell) {
  const all = [...(files ?? [])];
  const session = all.find(isSession);
  if (session) return openSession(store, session);
  const face = cell?.querySelector(".tile");
  const first = face instanceof HTMLElement ? Number(face.dataset.tile) : (store.head?.picked ?? null);
  if (all.length === 1) return startTiles(store, all[0], first);
  const tiles = tilesFrom(store, first ?? 0).slice(0, all.length);
  for (const [i, tile] of tiles.entries()) await startTiles(store, all[i], tile);
}

/** @param {File} file */
function isSession({ name, type }) {
  return type === "application/json" || name.toLowerCase().endsWith(".json");
}

/**
 * A tile and all unlocked ones, in cyclic order from that tile.
 *
 * @param {Store} store
 * @param {number} first
 */
function tilesFrom({ about: { batch }, head }, first) {
  const tiles = Array.from({ length: batch }, (_, i) => (first + i) % batch);
  return tiles.filter((tile) => tile === first || !head?.locked.includes(tile));
}

/**
 * @param {Store} store
 * @param {Blob} file
 * @param {number | null} tile null: all unlocked ones
 */
async function startTiles(store, file, tile) {
  if (file.size > store.about.max_upload_bytes) return toast("This file is too large.");
  try {
    const done = await store.send({ do: "start", tile, image: await base64(await fit(file)) });
    if (done) say(tile === null ? "All unlocked tiles start from this picture." : `Tile ${tile + 1} starts from this picture.`);
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    toast(error.message);
  }
}

function isCovered() {
  return document.querySelector("dialog[open]") !== null;
}

/** @param {Event} event */
function tileUnder(event) {
  return event.target instanceof Element ? event.target.closest(".cell") : null;
}

/** @param {Element | null} cell */
function markTarget(cell) {
  for (const old of document.querySelectorAll(".cell.target")) if (old !== cell) old.classList.remove("target");
  cell?.classList.add("target");
}

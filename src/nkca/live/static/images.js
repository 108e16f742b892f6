// Starting from image files: chosen, dropped or pasted.

import { base64, fit, ServerError } from "./api.js";
import { input } from "./dom.js";
import { say, toast } from "./messages.js";
import { openSession } from "./session.js";

/** @typedef {import("./desk.js").Desk} Desk */

/** @param {Desk} desk */
export function startImages(desk) {
  const chooser = input("open-image");
  chooser.addEventListener("change", () => {
    useAll(desk, chooser.files, null);
    chooser.value = "";
  });
  document.addEventListener("paste", (event) => isCovered() || useAll(desk, event.clipboardData?.files, null));
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
    if (!isCovered()) useAll(desk, event.dataTransfer?.files, tileUnder(event));
  });
}

/**
 * Start the picked tile, or all, from a picture of the server.
 *
 * @param {Desk} desk
 * @param {string} address
 */
export async function startFrom(desk, address) {
  const response = await fetch(address).catch(() => null);
  if (response?.ok) await use(desk, await response.blob(), desk.head?.picked ?? null);
  else toast("This picture could not be read.");
}

/**
 * A session is opened; pictures start tiles, one after another.
 *
 * @param {Desk} desk
 * @param {FileList | null | undefined} files
 * @param {Element | null} cell where they were dropped
 */
async function useAll(desk, files, cell) {
  const all = [...(files ?? [])];
  const session = all.find(isSession);
  if (session) return openSession(desk, session);
  const face = cell?.querySelector(".tile");
  const first = face instanceof HTMLElement ? Number(face.dataset.tile) : (desk.head?.picked ?? null);
  if (all.length === 1) return use(desk, all[0], first);
  const tiles = tilesFrom(desk, first ?? 0).slice(0, all.length);
  for (const [i, tile] of tiles.entries()) await use(desk, all[i], tile);
}

/** @param {File} file */
function isSession({ name, type }) {
  return type === "application/json" || name.toLowerCase().endsWith(".json");
}

/**
 * A tile, and the unlocked ones after it, then from the beginning.
 *
 * @param {Desk} desk
 * @param {number} first
 */
function tilesFrom({ about: { batch }, head }, first) {
  const tiles = Array.from({ length: batch }, (_, i) => (first + i) % batch);
  return tiles.filter((tile) => tile === first || !head?.locked.includes(tile));
}

/**
 * @param {Desk} desk
 * @param {Blob} file
 * @param {number | null} tile null: all unlocked ones
 */
async function use(desk, file, tile) {
  if (file.size > desk.about.max_upload_bytes) return toast("This file is too large.");
  try {
    const done = await desk.send({ do: "start", tile, image: await base64(await fit(file)) });
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

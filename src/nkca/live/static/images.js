// Starting from image files: chosen, dropped or pasted.

import { base64, fit, ServerError } from "./api.js";
import { input } from "./dom.js";
import { say, toast } from "./messages.js";

/** @typedef {import("./desk.js").Desk} Desk */

/** @param {Desk} desk */
export function startImages(desk) {
  const chooser = input("open-image");
  chooser.addEventListener("change", () => {
    useFirst(desk, chooser.files, null);
    chooser.value = "";
  });
  document.addEventListener("paste", (event) => useFirst(desk, event.clipboardData?.files, null));
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    markTarget(tileUnder(event));
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) markTarget(null);
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    markTarget(null);
    useFirst(desk, event.dataTransfer?.files, tileUnder(event));
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
  if (response?.ok) await use(desk, await response.blob(), null);
  else toast("This picture could not be read.");
}

/**
 * @param {Desk} desk
 * @param {FileList | null | undefined} files
 * @param {Element | null} cell
 */
function useFirst(desk, files, cell) {
  if (files?.length) use(desk, files[0], cell);
}

/**
 * @param {Desk} desk
 * @param {Blob} file
 * @param {Element | null} cell where it was dropped
 */
async function use(desk, file, cell) {
  const face = cell?.querySelector(".tile");
  const tile = face instanceof HTMLElement ? Number(face.dataset.tile) : (desk.head?.picked ?? null);
  if (file.size > desk.about.max_upload_bytes) return toast("This file is too large.");
  try {
    desk.send({ do: "start", tile, image: await base64(await fit(file)) });
    say(tile === null ? "All unlocked tiles start from this picture." : `Tile ${tile + 1} starts from this picture.`);
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    toast(error.message);
  }
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

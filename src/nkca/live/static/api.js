// Requests to the server.

/**
 * @typedef {import("./types.js").Turn} Turn
 * @typedef {import("./types.js").Reply} Reply
 * @typedef {import("./types.js").About} About
 */

export class ServerError extends Error {
  /**
   * @param {number} status 0: no response
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** @returns {Promise<About>} */
export function about() {
  return request("/api/about", {}, (response) => response.json());
}

/**
 * @param {Turn} turn
 * @param {AbortSignal} signal
 * @returns {Promise<Reply>}
 */
export function takeTurn(turn, signal) {
  return request("/api/turn", { ...posted(JSON.stringify(turn), "application/json"), signal }, readReply);
}

/**
 * Fit an image file to the model.
 *
 * @param {Blob} file
 * @returns {Promise<Blob>}
 */
export function fit(file) {
  return request("/api/fit", posted(file, "application/octet-stream"), (response) => response.blob());
}

/** @returns {Promise<{number: number, changed: number, kept: number}[]>} the newest first; seconds since 1970 */
export function savedSessions() {
  return request("/api/sessions", {}, (response) => response.json());
}

/**
 * @param {Blob | number} session a file, or the number of a saved session
 * @param {boolean} more allow more chains than the command has
 * @returns {Promise<{ok: boolean, warning: string | null}>}
 */
export function loadSession(session, more) {
  const saved = typeof session === "number";
  const path = `${saved ? `/api/sessions/${session}` : "/api/session"}${more ? "?more=1" : ""}`;
  return request(path, posted(saved ? "{}" : session, "application/json"), (response) => response.json());
}

/**
 * @param {number} id
 * @param {string} session part of the address, so that the browser's cache does not mix sessions
 */
export const momentPicture = (id, session) => `/api/moments/${id}.png?session=${session}`;

/**
 * @param {number} id
 * @param {string} session
 */
export const keptPicture = (id, session) => `/api/kept/${id}.png?session=${session}`;

/** @param {Blob} blob */
export async function base64(blob) {
  return bytesToBase64(new Uint8Array(await blob.arrayBuffer()));
}

/** @param {Uint8Array} bytes */
export function bytesToBase64(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/**
 * @param {BodyInit} body
 * @param {string} type
 * @returns {RequestInit}
 */
function posted(body, type) {
  return { method: "POST", body, headers: { "Content-Type": type } };
}

/**
 * @template T
 * @param {string} path
 * @param {RequestInit} options
 * @param {(response: Response) => Promise<T>} read
 * @returns {Promise<T>}
 */
async function request(path, options, read) {
  try {
    const response = await fetch(path, { cache: "no-store", ...options });
    if (response.ok) return await read(response);
    throw new ServerError(response.status, await errorLine(response));
  } catch (error) {
    throw error instanceof ServerError ? error : new ServerError(0, "The server does not respond");
  }
}

/** @param {Response} response */
async function errorLine(response) {
  const content = await response.json().catch(() => ({}));
  return content.error ?? `The server responded with status ${response.status}`;
}

/**
 * @param {Response} response
 * @returns {Promise<Reply>}
 */
async function readReply(response) {
  const bytes = await response.arrayBuffer();
  const end = 4 + new DataView(bytes).getUint32(0);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, end - 4)));
  return { head, picture: end < bytes.byteLength ? await decode(bytes.slice(end)) : null };
}

/** @param {ArrayBuffer} png */
function decode(png) {
  const blob = new Blob([png], { type: "image/png" });
  return createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
}

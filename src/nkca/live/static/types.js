// The types of the server's messages.

/**
 * @typedef {{id: number, action: number, label: string, step: number, level: number, automatic: boolean}} Entry
 * @typedef {{root: number, entries: Entry[]}} Branch a future that was left; root: the action that it followed
 * @typedef {{id: number, name: string, tile: number, step: number, level: number}} Kept
 * @typedef {{version: number, position: number, entries: Entry[], branches: Branch[]}} History
 * @typedef {{version: number, items: Kept[], removed: number, removed_items?: number[]}} Shelf
 * @typedef {{version: number, tiles: Record<string, string>}} Masks
 * @typedef {{history: History, shelf: Shelf, masks: Masks}} Lists
 *
 * @typedef {object} Head
 * @property {number} version
 * @property {number} epoch identifies the session
 * @property {number} step
 * @property {number} batch
 * @property {number} level
 * @property {number} annealing
 * @property {boolean} running
 * @property {number} seed
 * @property {number | null} change
 * @property {number | null} picked
 * @property {number[]} locked
 * @property {number[]} masked
 * @property {number | null} pictured the version whose pictures the page has now; null: they will come
 * @property {boolean} choosing whether the tiles are offered for a choice
 * @property {number} choices made so far
 * @property {boolean} can_undo
 * @property {boolean} can_redo
 * @property {number[]} tile_levels
 * @property {History | null} history
 * @property {Shelf | null} shelf
 * @property {Masks | null} masks
 * @property {{done: number, total: number} | null} replaying
 * @property {{frames: number, on: boolean} | null} recording
 * @property {number | null} step_ms
 * @property {string | null} [notice] a message of the command
 *
 * @typedef {object} About
 * @property {string} checkpoint
 * @property {string} digest
 * @property {[number, number, number]} data_shape
 * @property {number} batch
 * @property {number} min_level
 * @property {number} seed
 * @property {Show} show
 * @property {boolean} rescale
 * @property {number} images
 * @property {boolean} categorical
 * @property {boolean} mp4
 * @property {boolean} gif
 * @property {string} device
 * @property {string} version
 * @property {boolean} gallery whether there are other models to choose from
 * @property {number} max_anneal steps
 * @property {number} max_upload_bytes the limit for a picture
 * @property {number} [max_session_bytes] the limit for a session file
 *
 * @typedef {"finished" | "z" | "x" | "both"} Show
 * @typedef {"run" | "pause" | "undo" | "redo" | "stop"} Bare an event without fields
 * @typedef {{do: Bare}
 *   | {do: "step", times: number, only: number | null}
 *   | {do: "level", level: number}
 *   | {do: "anneal", steps: number}
 *   | {do: "select", tile: number | null}
 *   | {do: "spread", tile: number, seen: number}
 *   | {do: "lock", tile: number, locked: boolean, seen: number}
 *   | {do: "paint", tile: number, mask: string, seen: number, finished: boolean}
 *   | {do: "start", tile: number | null, image: string}
 *   | {do: "restart", source: "noise" | "images", seed: number}
 *   | {do: "jump", to: number}
 *   | {do: "keep", tile: number, seen: number, finished: boolean}
 *   | {do: "choose", tile: number, steps: number, seen: number, milliseconds: number | null}
 *   | {do: "fan", tile: number, seen: number}
 *   | {do: "mix", tile: number, other: number}
 *   | {do: "discard", tile: number, rest: boolean, source: number | null}
 *   | {do: "remove", item: number}
 *   | {do: "restore", item: number}
 *   | {do: "move", item: number, to: number}
 *   | {do: "record", on: boolean}
 * } ChainEvent an event of nkca.live.chains.events
 * @typedef {{seen: number, pictured: number, epoch: number | null, events: ChainEvent[], steps: number, only: number | null, show: Show, rescale: boolean, have: Record<keyof Lists, number>}} Turn
 * @typedef {{head: Head, picture: ImageBitmap | null}} Reply
 *
 * @typedef {{show: Show, rescale: boolean, stride: number, limit: number, marks: boolean, solo: boolean}} Settings
 * @typedef {{label: string, run: () => void}} Action what the button of a message does
 * @typedef {{id: number, text: string, lasting: boolean, action?: Action}} Message
 *
 * @typedef {object} Opened a dialog that is open
 * @property {number} id
 * @property {(props: any) => any} View
 * @property {Record<string, any>} props
 * @property {() => number | null} enlarges the tile that it shows
 *
 * @typedef {object} Host of the loop
 * @property {(events: ChainEvent[], steps: number, signal: AbortSignal) => Promise<Reply>} ask
 * @property {(reply: Reply) => void} receive draws the frame
 * @property {() => {stride: number, limit: number}} pace
 * @property {() => void} changed the pending events have changed
 * @property {(message: string) => void} refused the server did not apply an event
 * @property {(message: string) => void} failed a step or a replay failed
 * @property {(error: import("./loop.js").ServerError | null) => void} lost null: the server is back
 */

export {};

// The types of the messages between page and server, made by docs/make_schemas.py.

/**
 * @typedef {"both" | "finished" | "x" | "z"} Show
 *
 * @typedef {object} Entry A moment of the history.
 * @property {number} action the version that the action made
 * @property {boolean} automatic no action of the user
 * @property {number} id
 * @property {string} label
 * @property {number} level
 * @property {number} step
 *
 * @typedef {object} Branch A future that was left.
 * @property {Entry[]} entries
 * @property {number} root the action that it followed
 *
 * @typedef {object} Kept A picture on the shelf.
 * @property {number} id
 * @property {number} level
 * @property {string} name
 * @property {number} step
 * @property {number} tile
 *
 * @typedef {object} History The film strip.
 * @property {Branch[]} branches
 * @property {Entry[]} entries oldest first
 * @property {number} position of the present
 * @property {number} version changes with the list
 *
 * @typedef {object} Shelf The pictures on the shelf, in order.
 * @property {Kept[]} items
 * @property {number} removed how many can be restored
 * @property {number[]} removed_items
 * @property {number} version
 *
 * @typedef {object} Masks The mask of each masked tile, by its number, as text (`nkca.live.chains.masks`).
 * @property {Record<string, string>} tiles
 * @property {number} version
 *
 * @typedef {object} Held What all tiles have in common with a picture.
 * @property {number} side of blocks whose means are held; 0: grey values are
 *
 * @typedef {object} Replaying Steps of the replay.
 * @property {number} done
 * @property {number} total
 *
 * @typedef {object} Recorded The recording.
 * @property {number} frames
 * @property {boolean} on
 *
 * @typedef {object} Head What a frame says beside its picture; of the lists only those that the page has not.
 * @property {number} annealing steps left
 * @property {number} batch
 * @property {boolean} can_redo
 * @property {boolean} can_undo
 * @property {number | null} change
 * @property {number} choices made so far
 * @property {boolean} choosing whether the tiles are offered for a choice
 * @property {number} epoch identifies the session
 * @property {Held | null} held
 * @property {History | null} history
 * @property {number} level
 * @property {number[]} locked
 * @property {number[]} masked
 * @property {Masks | null} masks
 * @property {string | null} notice a message of the command
 * @property {number | null} picked
 * @property {number | null} pictured the version whose pictures the page has now; null: they will come
 * @property {Recorded | null} recording
 * @property {Replaying | null} replaying
 * @property {boolean} running
 * @property {number} seed
 * @property {Shelf | null} shelf
 * @property {number} step
 * @property {number | null} step_ms
 * @property {number[]} tile_levels
 * @property {number} version
 *
 * @typedef {object} About GET /api/about: what does not change.
 * @property {number} batch
 * @property {boolean} categorical
 * @property {string} checkpoint
 * @property {[number, number, number]} data_shape channels, height, width
 * @property {string} device
 * @property {string} digest
 * @property {boolean} gallery whether there are other models to choose
 * @property {boolean} gif
 * @property {number} images how many the chains started from
 * @property {number} max_anneal steps
 * @property {number} max_events of a turn
 * @property {number} max_recording_pixels of all frames of a file together
 * @property {number} max_seed
 * @property {number} max_session_bytes
 * @property {number} max_trials of a test of real and made pictures
 * @property {number} max_upload_bytes of a picture
 * @property {number} min_level
 * @property {boolean} mp4 whether recordings can be had so
 * @property {number[][] | null} palette the colours of the model's pixels, of one to four channels; null: any
 * @property {number} real how many real pictures there are to be told from made ones
 * @property {boolean} rescale
 * @property {number} seed
 * @property {Show} show
 * @property {number[]} sides of blocks whose means can be held
 * @property {string} version of nkca
 *
 * @typedef {object} Turn One request of a page.
 * @property {Show} [show]
 * @property {boolean} [rescale]
 * @property {number} [seen] the version of the newest frame that the page has; -1: none.
 * @property {number | null} [epoch] the epoch of that frame; null: the current one.
 * @property {ChainEvent[]} [events]
 * @property {number} [steps] how many steps to make if the chains are running.
 * @property {Record<"history" | "masks" | "shelf", number>} [have] for each list the number of the version that the page has.
 * @property {number | null} [only] the one tile that the steps move; null: all unlocked ones.
 * @property {number | null} [pictured] the version whose tiles the page shows, as the head of a frame said; null: `seen`.
 *
 * @typedef {object} NewTest POST /api/trials: begin a test of real and made pictures, of so many pairs at most.
 * @property {number} count
 *
 * @typedef {object} Answer POST /api/trials/ID/N: which side was taken for real, after how long; null: not known.
 * @property {"left" | "right"} side
 * @property {number | null} [milliseconds]
 *
 * @typedef {object} Answered A trial and its answer.
 * @property {"left" | "right"} answer
 * @property {number} made_seed
 * @property {number | null} milliseconds
 * @property {"left" | "right"} real
 * @property {string} real_file
 *
 * @typedef {object} TestResult GET /api/trials/ID/result.json: how often real and made pictures were told apart.
 * @property {Answered[]} answers
 * @property {number} confidence
 * @property {[number, number]} interval of the share
 * @property {string} interval_method
 * @property {number} share
 * @property {number} share_by_chance
 * @property {string} task
 * @property {number} told_apart
 * @property {number} trials
 *
 * @typedef {object} RunChains Step repeatedly until paused.
 * @property {"run"} do
 *
 * @typedef {object} Pause Stop stepping.
 * @property {"pause"} do
 *
 * @typedef {object} MakeSteps Make `times` Markov steps of all unlocked tiles, or of `only` one.
 * @property {"step"} do
 * @property {number} times
 * @property {number | null} [only]
 *
 * @typedef {object} Level Set the noise level, effective from the next step.
 * @property {"level"} do
 * @property {number} level
 *
 * @typedef {object} Anneal Lower the level linearly to the lowest in the next `steps` steps, then pause.
 * @property {"anneal"} do
 * @property {number} steps
 *
 * @typedef {object} Select Select a tile, or none: no action that can be undone, and no noise depends on it.
 * @property {"select"} do
 * @property {number | null} tile
 *
 * @typedef {object} Pick Select a tile, or none, as an action that can be undone: in session files of schema 1.
 * @property {"pick"} do
 * @property {number | null} tile
 *
 * @typedef {object} Spread Copy a tile to all other unlocked tiles; each continues with its own noise.
 * @property {"spread"} do
 * @property {number} tile
 * @property {number | null} [seen]
 *
 * @typedef {object} Choose Offer a tile among proposals that are made from it, see `nkca.live.chains.choices`. Where the present tiles are such an offer, this is a choice among them, and makes the next one.
 * @property {"choose"} do
 * @property {number} tile
 * @property {number} [steps] of the walk to the proposals' common origin, and from there to each of them.
 * @property {number | null} [seen]
 * @property {number | null} [milliseconds] how long the choice took.
 *
 * @typedef {object} Fan Show variants of a tile at rising levels on all unlocked tiles.
 * @property {"fan"} do
 * @property {number} tile
 * @property {number | null} [seen]
 *
 * @typedef {object} Mix Show mixtures on all unlocked tiles, from one tile to another.
 * @property {"mix"} do
 * @property {number} tile
 * @property {number} other
 *
 * @typedef {object} Discard Start a tile, or with `rest` all other unlocked ones, again from noise, or from `source`.
 * @property {"discard"} do
 * @property {number} tile
 * @property {boolean} [rest]
 * @property {number | null} [source]
 *
 * @typedef {object} Lock Lock a tile as it was seen, so that steps do not change it, or unlock it.
 * @property {"lock"} do
 * @property {number} tile
 * @property {boolean} locked
 * @property {number | null} [seen]
 *
 * @typedef {object} Paint Let the marked pixels of a tile change and hold the others; if none or all are marked, hold none.
 * @property {"paint"} do
 * @property {number} tile
 * @property {string} mask which pixels change, and with bytes how much of a step each of them makes.
 * @property {number | null} [seen]
 * @property {boolean} [finished] hold pixels of the finished picture, not of the denoised one.
 *
 * @typedef {object} Hold Start all unlocked tiles from one, and hold what they have in common with it, or hold it no longer.
 * @property {"hold"} do
 * @property {number | null} tile null: hold nothing from now on; tiles go on as they are.
 * @property {number} [side] of the blocks of pixels whose means are held; 0: grey values are.
 * @property {number | null} [seen]
 * @property {boolean} [finished] of the finished picture, not of the denoised one.
 *
 * @typedef {object} Colour Paint colours on a tile and noise it to a level, from which the chain makes them real.
 * @property {"colour"} do
 * @property {number} tile
 * @property {string} mask which pixels are painted.
 * @property {string} image their colours, a base64 PNG of the model's size.
 * @property {number} level
 * @property {boolean} [everywhere] on all unlocked tiles, each with noise of its own.
 * @property {number | null} [seen]
 * @property {boolean} [finished] paint on the finished picture, not on the denoised one.
 *
 * @typedef {object} Start Start a tile, or all unlocked ones, from a picture: a base64 PNG of the model's size.
 * @property {"start"} do
 * @property {number | null} tile
 * @property {string} image
 *
 * @typedef {object} Restart Restart all unlocked tiles from noise or from the given images.
 * @property {"restart"} do
 * @property {"images" | "noise"} source
 * @property {number} seed
 *
 * @typedef {object} Undo Return to the moment before the last action.
 * @property {"undo"} do
 *
 * @typedef {object} Redo Revert the last undo.
 * @property {"redo"} do
 *
 * @typedef {object} Jump Go to any entry of the history.
 * @property {"jump"} do
 * @property {number} to
 *
 * @typedef {object} Keep Put the picture of a tile, as it was seen, on the shelf.
 * @property {"keep"} do
 * @property {number} tile
 * @property {number | null} [seen]
 * @property {boolean} [finished] the finished picture (`nkca.live.chains.finish`), not the denoised one.
 *
 * @typedef {object} Remove Remove a picture from the shelf.
 * @property {"remove"} do
 * @property {number} item
 *
 * @typedef {object} Restore Put a removed picture back, at the end of the shelf.
 * @property {"restore"} do
 * @property {number} item
 *
 * @typedef {object} Move Move a picture to another place on the shelf.
 * @property {"move"} do
 * @property {number} item
 * @property {number} to
 *
 * @typedef {object} RecordAnimation Begin a new recording of the tiles as an animation, or end it.
 * @property {"record"} do
 * @property {boolean} on
 *
 * @typedef {object} Stop Stop the replay of a session at the current step.
 * @property {"stop"} do
 *
 * @typedef {RunChains | Pause | MakeSteps | Level | Anneal | Select | Pick | Spread | Choose | Fan | Mix | Discard | Lock | Paint | Hold | Colour | Start | Restart | Undo | Redo | Jump | Keep | Remove | Restore | Move | RecordAnimation | Stop} ChainEvent
 */

export {};

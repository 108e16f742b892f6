// The help dialog.

import { block, button, dialog, make, setText } from "./dom.js";
import { KEYS, startLetters } from "./keys.js";

/** @param {import("./types.js").About} about */
export function startHelp(about) {
  button("help").addEventListener("click", () => dialog("help-dialog").showModal());
  startLetters();
  block("help-keys").append(...KEYS.map(keyRow));
  const [channels, height, width] = about.data_shape;
  const size = `${width} × ${height}, ${channels} ${channels === 1 ? "channel" : "channels"}`;
  setText(block("about"), `${about.checkpoint} (${about.digest.slice(0, 8)}), ${size}, on ${about.device}. nkca ${about.version}.`);
}

/** @param {import("./keys.js").Line} line */
function keyRow({ keys, does }) {
  return make("tr", {}, make("th", { scope: "row" }, make("kbd", {}, keys)), make("td", {}, does));
}

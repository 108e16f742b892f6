// The help dialog.

import { shortcuts } from "./commands.js";
import { Check } from "./controls.js";
import { Dialog } from "./dialog.js";
import { html } from "./preact.js";

const IDEAS = [
  ["Noise level", "How much a step may change. High: new pictures. Low: small changes, fine detail."],
  ["Spread", "Click a picture you like to pick it; with Spread all others continue from it, each with its own noise. A double click does both."],
  ["Anneal", "Lowers the level slowly, so that the pictures settle."],
  ["Paint", "Mark the pixels that should change, and how strongly. The others are held exactly."],
  ["Colour", "Paint roughly what you want: the chain makes it real."],
  ["Hold for all", "All tiles continue from the picked one and keep its coarse structure, or its grey values; all the rest changes."],
  ["Choose", "Click the picture you like best, again and again: the walk samples pictures by how much you like them."],
  ["Fan, Mix, Discard", "Variants at rising levels; a row between two pictures; start a tile again."],
  ["Lock", "Steps do not change a locked tile."],
  ["Keep", "Puts a picture on the shelf, to download later."],
  ["History", "Undo, or click a moment to return to it. What you leave by going on differently stays as a branch."],
];

/** @param {{commands: import("./commands.js").Commands, closed: () => void}} props */
export default function Help({ commands, closed }) {
  const { store } = commands;
  const { checkpoint, digest, device, version, data_shape: [channels, height, width] } = store.about;
  const size = `${width} × ${height}, ${channels} ${channels === 1 ? "channel" : "channels"}`;
  return html`<${Dialog} id="help-dialog" label="help-title" closed=${closed} head=${html`<h2 id="help-title">Exploring the chains</h2>`}>
    <div class="columns">
      <div>
        <p>Each tile is a Markov chain over pictures like those that the model was trained on. Every step changes the picture a little.</p>
        <dl class="ideas">${IDEAS.map(([name, text]) => html`<div><dt>${name}</dt><dd>${text}</dd></div>`)}</dl>
        <${Check} id="letters" on=${store.letters.value} set=${(/** @type {boolean} */ on) => store.setLetters(on)}>Shortcuts of one letter, digit or sign<//>
        <p class="muted" id="about-model">${checkpoint} (${digest.slice(0, 8)}), ${size}, on ${device}. nkca ${version}.</p>
      </div>
      <table><caption class="unseen">Keys</caption>
        <tbody id="help-keys">${shortcuts(commands).map(([keys, does]) => html`<tr><th scope="row"><kbd>${keys}</kbd></th><td>${does}</td></tr>`)}</tbody>
      </table>
    </div>
  <//>`;
}

// The gallery: the models that there are, each with a picture; a click opens one.

import { html, render, useState } from "./preact.js";

/**
 * @typedef {{number: number, name: string, packaged: boolean, problem?: string, size?: string, colour?: string, space?: string, images?: number, step?: number, preview?: number | null}} Model
 * @typedef {{models: Model[], open: number | null, shared: boolean}} Facts
 */

const AWAY = "The server does not respond.";

/** @param {{facts: Facts}} props */
function Gallery({ facts: { models, open, shared } }) {
  const [busy, setBusy] = useState(/** @type {number | null} */ (null));
  const [problem, setProblem] = useState("");
  /** @param {number} number */
  const choose = async (number) => {
    if (busy !== null) return;
    setBusy(number);
    setProblem("");
    const error = await opened(number);
    if (!error) return location.assign("/live");
    setBusy(null);
    setProblem(error);
  };
  const chosen = models.find(({ number }) => number === busy);
  /** @param {string} title @param {Model[]} listed */
  const section = (title, listed) => listed.length > 0 && html`<section><h2>${title}</h2><ul class="models" role="list">
    ${listed.map((model) => html`<li key=${model.number}><${Card} model=${model} isOpen=${model.number === open} busy=${model.number === busy} choose=${choose} /></li>`)}
  </ul></section>`;
  return html`
    <header>
      <h1>Which model?</h1>
      <p class="muted">Each picture was made by the model below it. Open one to walk its chains.${open !== null && ` ${ends(shared)}`}</p>
      <p role="alert">${problem}</p>
      <p class="unseen" role="status">${chosen && `Opening ${chosen.name}`}</p>
    </header>
    <main>
      ${section("In the package", models.filter(({ packaged }) => packaged))}
      ${section("In this folder", models.filter(({ packaged }) => !packaged))}
      ${models.every(({ packaged }) => packaged) && html`<p class="muted">No runs were found in the folder where the command was started.</p>`}
    </main>`;
}

/** @param {boolean} shared */
function ends(shared) {
  return `To open another one ends the chains that are open${shared ? ", for everybody here" : ""}; their session is saved.`;
}

/** @param {{model: Model, isOpen: boolean, busy: boolean, choose: (number: number) => void}} props */
function Card({ model, isOpen, busy, choose }) {
  const { number, name, problem } = model;
  return html`<button type="button" class="model" disabled=${problem !== undefined} aria-busy=${busy} onClick=${() => choose(number)}>
    ${problem === undefined ? html`<${Picture} number=${number} />` : html`<span class="picture none">cannot be opened</span>`}
    <span class="about">
      <span class="name"><span>${name}</span>${isOpen && html`<mark>open</mark>`}</span>
      ${busy ? html`<span class="fact">Opening …</span>` : lines(model).map((line) => html`<span class="fact">${line}</span>`)}
    </span>
  </button>`;
}

/** @param {{number: number}} props */
function Picture({ number }) {
  const [broken, setBroken] = useState(false);
  if (broken) return html`<span class="picture none">no picture</span>`;
  return html`<span class="picture"><img src=${`/api/models/${number}.png`} alt="" loading="lazy" onError=${() => setBroken(true)} /></span>`;
}

/** @param {Model} model */
function lines({ problem, size, colour, space, images = 0, step = 0, preview }) {
  if (problem !== undefined) return [problem];
  const seen = images ? `${images.toLocaleString("en")} images seen` : `${step.toLocaleString("en")} steps`;
  const made = preview == null ? [] : [`picture: step ${preview.toLocaleString("en")}`];
  return [`${size}, ${colour}`, space, seen, ...made];
}

/**
 * Open a model.
 *
 * @param {number} number
 * @returns {Promise<string>} what went wrong; "" if nothing
 */
async function opened(number) {
  try {
    const response = await fetch(`/api/models/${number}`, { method: "POST", body: "{}", headers: { "Content-Type": "application/json" } });
    if (response.ok) return "";
    const { error } = await response.json().catch(() => ({}));
    return error ?? `The server responded with status ${response.status}.`;
  } catch {
    return AWAY;
  }
}

/** The theme that was chosen in the page of a model; else the system's holds. */
function applyTheme() {
  try {
    const theme = localStorage.getItem("nkca-theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    return;
  }
}

applyTheme();
render(html`<${Gallery} facts=${JSON.parse(document.getElementById("about")?.textContent ?? "")} />`, /** @type {Element} */ (document.getElementById("page")));

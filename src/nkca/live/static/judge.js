// Real or made? Trials with a real picture and a made one: which is real?

import { isOff } from "./commands.js";
import { Button, NumberField } from "./controls.js";
import { Dialog } from "./dialog.js";
import { penOf } from "./grid.js";
import { ServerError } from "./loop.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./preact.js";
import { posted, request } from "./store.js";

/**
 * @import { Commands } from "./commands.js"
 * @import { Answer, NewTest, TestResult } from "./types.js"
 * @typedef {Answer["side"]} Side
 * @typedef {{id: string, count: number}} Test
 */

const TRIALS = 20;
const SIDES = /** @type {const} */ (["left", "right"]);
/** @type {Record<string, Side>} */
const KEYS = { ArrowLeft: "left", ArrowRight: "right", 1: "left", 2: "right" };

/** @param {{commands: Commands, closed: () => void}} props */
export default function Judge({ commands, closed }) {
  const { store, front } = commands;
  const [count, setCount] = useState(Math.min(TRIALS, store.about.real));
  const [test, setTest] = useState(/** @type {Test | null} */ (null));
  const [result, setResult] = useState(/** @type {TestResult | null} */ (null));
  /** @template T @param {() => Promise<T>} ask */
  const told = async (ask) => {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      front.toast(error.message);
      return null;
    }
  };
  const begin = async () => {
    if (store.now("running")) store.send({ do: "pause" });
    setResult(null);
    setTest(await told(() => request("/api/trials", posted(JSON.stringify(/** @satisfies {NewTest} */ ({ count })), "application/json"), (response) => response.json())));
  };
  const end = async () => setResult(await told(() => request(`/api/trials/${test?.id}/result.json`, {}, (response) => response.json())));
  const head = html`<h2 id="judge-title">Real or made?</h2>`;
  return html`<${Dialog} id="judge-dialog" label="judge-title" closed=${closed} head=${head}>
    ${test && !result && html`<${Trials} key=${test.id} commands=${commands} test=${test} told=${told} end=${end} />`}
    ${test && result && html`<${Outcome} test=${test} result=${result} again=${begin} />`}
    ${!test && html`<p>Each time you see a real picture and one that the model made. Click the real one. You learn at the end how often you were right.</p>
      <div class="row">
        <label class="row">Pairs <${NumberField} id="judge-count" low=${1} high=${Math.min(store.about.max_trials, store.about.real)} value=${count} commands=${commands} set=${setCount} /></label>
        <span class="spring"></span>
        <${Button} id="judge-begin" class="primary" label="Begin" autofocus=${true} run=${begin} />
      </div>`}
  <//>`;
}

/** @param {{commands: Commands, test: Test, told: <T>(ask: () => Promise<T>) => Promise<T | null>, end: () => void}} props */
function Trials({ commands, test, told, end }) {
  const [number, setNumber] = useState(0);
  const [pair, setPair] = useState(/** @type {ImageBitmap | null} */ (null));
  const next = useRef(/** @type {Promise<ImageBitmap | null> | null} */ (null));
  const shown = useRef(0); // when the pair was
  const canvases = useRef(/** @type {Partial<Record<Side, HTMLCanvasElement>>} */ ({})).current;
  const group = /** @type {{current: HTMLElement}} */ (useRef(null));
  const load = (/** @type {number} */ trial) => told(() => request(`/api/trials/${test.id}/${trial}.png`, {}, async (response) => createImageBitmap(await response.blob())));
  useEffect(() => {
    (next.current ?? load(number)).then((found) => {
      setPair(found);
      next.current = number + 1 < test.count ? load(number + 1) : null; // made while the user looks
    });
  }, [number]);
  useLayoutEffect(() => {
    if (!pair) return;
    SIDES.forEach((side, i) => penOf(/** @type {HTMLCanvasElement} */ (canvases[side]), pair.width / 2, pair.height).drawImage(pair, (-i * pair.width) / 2, 0));
    shown.current = performance.now();
    group.current.focus();
  }, [pair]);
  /** @param {Side} side */
  const answer = async (side) => {
    if (!pair) return;
    setPair(null);
    const milliseconds = Math.round(performance.now() - shown.current);
    const reply = await told(() => request(`/api/trials/${test.id}/${number}`, posted(JSON.stringify(/** @satisfies {Answer} */ ({ side, milliseconds })), "application/json"), (response) => response.json()));
    if (!reply) return setPair(pair);
    if (reply.answered < test.count) setNumber(reply.answered);
    else end();
  };
  /** @param {KeyboardEvent} event */
  const press = (event) => {
    const side = KEYS[event.key];
    if (!side || event.repeat || event.altKey || event.ctrlKey || event.metaKey || isOff(commands, event)) return;
    event.preventDefault();
    answer(side);
  };
  const [, height, width] = commands.store.about.data_shape;
  return html`<div id="judge-pair" class=${pair ? "" : "waits"} role="group" tabindex="-1" aria-label="Which picture is real? Arrow left or right." ref=${group} onKeyDown=${press} style=${{ "--aspect": width / height }}>
      ${SIDES.map((side) => html`<button type="button" id=${`judge-${side}`} aria-label=${`The ${side} picture is real`} onClick=${() => answer(side)}>
        <canvas ref=${(/** @type {any} */ canvas) => (canvases[side] = canvas)}></canvas></button>`)}
    </div>
    <div class="row"><p class="muted" id="judge-note" role="status">${pair ? `Pair ${number + 1} of ${test.count}: which is real?` : "The next pair is being made."}</p><span class="spring"></span>
      <${Button} id="judge-stop" class="small" label="Stop here" disabled=${number === 0} run=${end} /></div>`;
}

/** @param {{test: Test, result: TestResult, again: () => void}} props */
function Outcome({ test, result: { trials, told_apart, share, interval: [low, high] }, again }) {
  const percent = (/** @type {number} */ part) => Math.round(100 * part);
  const chance = low <= 0.5 && high >= 0.5;
  return html`<p id="judge-result" role="status"><b>${told_apart} of ${trials} told apart: ${percent(share)} %</b> (95 % interval ${percent(low)} to ${percent(high)} %).</p>
    <p class="muted">Guessing gives 50 %: ${chance ? "this agrees with guessing." : low > 0.5 ? "you see a difference." : "you see a difference, and take the made ones for real."}</p>
    <div class="row"><span class="spring"></span>
      <${Button} id="judge-again" class="" label="Again" run=${again} />
      <a id="judge-save" class="button primary" href=${`/api/trials/${test.id}/result.json`} download="real-or-made.json">Save result</a></div>`;
}

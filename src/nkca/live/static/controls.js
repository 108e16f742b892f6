// The controls: those of the header and the panel, and the parts that all controls are made of.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./preact.js";
import { browserMemory } from "./store.js";

/** @import { Commands } from "./commands.js" */

const THEME = "nkca-theme";
const BUSY_S = 2;
const HANGING_S = 20;
const RATE_MS = 2000; // the rate of frames is the mean over this time
const SPEEDS = [["max", "full speed"], ["30", "30 steps/s"], ["10", "10 steps/s"], ["5", "5 steps/s"], ["2", "2 steps/s"], ["1", "1 step/s"]];
const STRIDES = [["1", "every step"], ["2", "every 2 steps"], ["4", "every 4 steps"], ["8", "every 8 steps"]];

/** @param {{name: string}} props */
export function Icon({ name }) {
  return html`<svg class="icon" aria-hidden="true"><use href=${`#i-${name}`} /></svg>`;
}

/** @param {{icon?: string, label?: string, letter?: string, run?: () => void} & Record<string, any>} props */
export function Button({ icon, label, letter, run, class: kind = "wide", ...rest }) {
  return html`<button type="button" class=${kind} onClick=${run} ...${rest}>
    ${icon && html`<${Icon} name=${icon} />`}${label && html`<span class="label">${label}</span>`}${letter && html`<kbd>${letter}</kbd>`}
  </button>`;
}

/** @param {{id: string, on: boolean, set: (on: boolean) => void, title?: string, children?: any}} props */
export function Check({ id, on, set, title, children }) {
  return html`<label class="check" title=${title}>
    <input id=${id} type="checkbox" checked=${on} onChange=${(/** @type {any} */ event) => set(event.currentTarget.checked)} /><span>${children}</span>
  </label>`;
}

/** @param {{id: string, value: number, min: number, max: number, step: number, set: (value: number) => number} & Record<string, any>} props `set` returns what holds then */
export function Slider({ id, value, min, max, set, ...rest }) {
  /** @param {{currentTarget: HTMLInputElement}} event */
  const slide = ({ currentTarget }) => (currentTarget.value = String(set(currentTarget.valueAsNumber)));
  const style = { "--fill": (value - min) / (max - min || 1) };
  return html`<input id=${id} type="range" min=${min} max=${max} style=${style} value=${value} onInput=${slide} ...${rest} />`;
}

/** @param {{id: string, commands: Commands} & Record<string, any>} props */
export function LevelSlider({ id, commands, ...rest }) {
  const { store } = commands;
  const low = Math.floor(store.about.min_level * 100) / 100;
  const level = store.now("level").toFixed(2);
  /** @param {number} value */
  const set = (value) => (commands.setLevel(value), store.now("level"));
  return html`<${Slider} id=${id} min=${low} max=${1} step=${0.01} value=${level} aria-valuetext=${level} set=${set} ...${rest} />`;
}

/** @param {{id: string, commands: Commands, class?: string} & Record<string, any>} props */
export function RunButton({ id, commands, ...rest }) {
  const active = commands.store.now("running") || commands.store.stepping.value;
  return html`<${Button} id=${id} icon=${active ? "pause" : "run"} label=${active ? "Pause" : "Run"} letter="space" run=${() => commands.toggleRun()} ...${rest} />`;
}

/** @param {{id: string, commands: Commands}} props */
export function Solo({ id, commands: { store } }) {
  const title = "Steps do not change the other tiles while this dialog is open";
  return html`<${Check} id=${id} title=${title} on=${store.settings.value.solo} set=${(/** @type {boolean} */ solo) => store.set({ solo })}>Only this tile walks<//>`;
}

/** @param {{commands: Commands}} props */
export function Header({ commands }) {
  const { store } = commands;
  const { limit, stride } = store.settings.value;
  return html`<header class="bar">
    <h1 class="brand"><${Icon} name="grid" />nkca</h1>
    ${store.about.gallery && html`<a id="models" class="button" href="/" title="Choose another model" aria-label="Models"><${Icon} name="left" /><span class="label">Models</span></a>`}
    <${RunButton} id="run" class="primary" title="Run or pause (space)" commands=${commands} />
    <${Button} id="step" class="" icon="step" label="Step" letter="." title="Make one step (.)" run=${() => commands.step()} />
    <${Choice} id="speed" label="Speed limit" options=${SPEEDS} value=${limit === Infinity ? "max" : String(limit)} set=${(/** @type {string} */ value) => store.set({ limit: value === "max" ? Infinity : Number(value) })} />
    <${Choice} id="stride" label="Steps for each picture that is shown" options=${STRIDES} value=${String(stride)} set=${(/** @type {string} */ value) => store.set({ stride: Number(value) })} />
    <${Counts} commands=${commands} />
    ${store.about.real > 0 && html`<${Button} id="judge" class="button" icon="mix" label="Real or made?" aria-label="Real or made?" title="Do you tell the model's pictures from real ones? (J)" run=${() => commands.judge()} />`}
    <a id="session-save" class="button" href="/api/session.json" download="session.json" title="Save this session as a file that can be replayed" aria-label="Save session"><${Icon} name="save" /><span class="label">Save session</span></a>
    <${Button} id="sessions" class="button" icon="open" label="Open session" aria-label="Open session" title="Open a saved session and replay it" run=${() => store.front.open(import("./sessions.js"), { commands })} />
    <${Button} id="theme" class="quiet" icon="theme" aria-label="Light or dark" title="Light or dark" run=${switchTheme} />
    <${Button} id="help" class="quiet" icon="help" aria-label="Help" title="Help (?)" run=${() => commands.help()} />
  </header>`;
}

/** @param {{id: string, label: string, options: string[][], value: string, set: (value: string) => void}} props */
function Choice({ id, label, options, value, set }) {
  return html`<select id=${id} aria-label=${label} title=${label} value=${value} onChange=${(/** @type {any} */ event) => set(event.currentTarget.value)}>
    ${options.map(([name, text]) => html`<option value=${name}>${text}</option>`)}
  </select>`;
}

/** @param {{commands: Commands}} props the steps made, the rate of frames, and a sign of life while the server works */
function Counts({ commands: { store } }) {
  const [fps, setFps] = useState("0.0");
  const [waiting, setWaiting] = useState(0);
  const times = useRef(/** @type {number[]} */ ([]));
  const moving = store.now("running") || store.now("replaying") !== null;
  useLayoutEffect(() => store.onFrame(() => void times.current.push(performance.now())), []);
  useEffect(() => {
    const timer = setInterval(() => {
      const now = performance.now();
      times.current = times.current.filter((time) => now - time < RATE_MS);
      const [first] = times.current;
      setFps(times.current.length > 1 ? ((1000 * (times.current.length - 1)) / (now - first)).toFixed(1) : "0.0");
      setWaiting(Math.floor(store.loop.waiting));
    }, 250);
    return () => clearInterval(timer);
  }, []);
  return html`<p class="counts">
    <span><b id="steps">${store.now("step")}</b> steps</span><span title="pictures shown per second"><b id="fps">${moving ? fps : "0.0"}</b> fps</span>
    ${waiting >= BUSY_S && html`<span id="waiting" title="The server has not answered yet">${waiting < HANGING_S ? "working" : "no answer for"} ${waiting} s</span>`}
  </p>`;
}

/** Apply the theme that the user chose on an earlier visit; else the system's holds. */
export function applyTheme(theme = browserMemory.recall(THEME)) {
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}

function switchTheme() {
  const { theme } = document.documentElement.dataset;
  const dark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  applyTheme(dark ? "light" : "dark");
  browserMemory.remember(THEME, dark ? "light" : "dark");
}

/** @param {{commands: Commands}} props */
export function Panel({ commands }) {
  return html`<aside class="controls" aria-label="Controls">
    <${LevelCard} commands=${commands} /><${PickCard} commands=${commands} /><${StartCard} commands=${commands} />
  </aside>`;
}

/** @param {{commands: Commands}} props */
function LevelCard({ commands }) {
  const { store } = commands;
  const [steps, setSteps] = useState(commands.annealSteps);
  const left = store.now("annealing");
  const time = store.timeOf(left || steps);
  return html`<section class="card level-card">
    <div class="head"><h2><label for="level">Noise level</label></h2>
      <${NumberField} id="level-value" label="Noise level, as a number" step=${0.01} low=${store.about.min_level} high=${1} value=${store.now("level")} commands=${commands} set=${(/** @type {number} */ level) => commands.setLevel(level)} /></div>
    <${LevelSlider} id="level" commands=${commands} aria-describedby="level-ends" />
    <p id="level-ends" class="ends"><span>small changes</span><span class="keys-only"><kbd>−</kbd> <kbd>+</kbd></span><span>new pictures</span></p>
    <${PlotPlace} commands=${commands} />
    <div class="row anneal">
      <${Button} id="anneal" class="" icon="anneal" label=${left ? `${left} left` : "Anneal"} letter="A" title="Lower the noise level slowly to its minimum, then pause (A)" run=${() => commands.anneal()} />
      <label>in <${NumberField} id="anneal-steps" low=${1} high=${store.about.max_anneal} value=${steps} commands=${commands}
        set=${(/** @type {number} */ value) => setSteps((commands.annealSteps = value))} enter=${() => commands.anneal()} /> steps</label>
    </div>
    <p id="anneal-time">${time && `about ${time}`}</p>
  </section>`;
}

/** @param {{commands: Commands}} props the plot, once there are two frames to compare */
function PlotPlace({ commands: { store } }) {
  const first = /** @type {{current: import("./types.js").Head | null}} */ (useRef(null));
  const [moved, setMoved] = useState(false);
  useLayoutEffect(() => store.onFrame(() => {
    if (first.current) setMoved(true);
    else first.current = store.latest.value;
  }), []);
  return html`<figure class="plot"><${Lazy} when=${moved} load=${() => import("./plot.js")} store=${store} first=${first.current}>
    <canvas></canvas><figcaption><span class="key key-level">level</span><span class="key key-change">change per step</span></figcaption><//></figure>`;
}

/** @param {{when: boolean, load: () => Promise<{default: any}>, children?: any} & Record<string, any>} props a part of the page whose module is loaded on first use; until then its children */
export function Lazy({ when, load, children, ...rest }) {
  const [part, setPart] = useState(/** @type {{View: any} | null} */ (null));
  useEffect(() => {
    if (when && !part) load().then(({ default: View }) => setPart({ View }), () => {});
  }, [when]);
  return part ? html`<${part.View} ...${rest} />` : children;
}

/**
 * A field for a number. What is out of its range is put right, and that is said.
 *
 * @param {{id: string, low: number, high: number, value: number, commands: Commands, set: (value: number) => void, step?: number, label?: string, enter?: () => void}} props
 */
export function NumberField({ id, low, high, value, commands, set, step = 1, label, enter }) {
  const input = /** @type {{current: HTMLInputElement}} */ (useRef(null));
  const text = (/** @type {number} */ number) => (step < 1 ? number.toFixed(2) : String(number));
  const show = () => void (input.current.value = text(value));
  useLayoutEffect(() => (step < 1 && document.activeElement === input.current ? undefined : show()), [value]); // what is being typed stays
  /** @param {{currentTarget: HTMLInputElement}} event */
  const take = ({ currentTarget: field }) => {
    const given = Number((step * Math.round(field.valueAsNumber / step)).toFixed(2));
    const taken = Number.isNaN(given) ? value : Math.min(high, Math.max(low, given));
    const kind = step < 1 ? "number" : "whole number";
    if (given !== taken) commands.front.toast(`A ${kind} from ${low} to ${high.toLocaleString("en")} goes here: ${taken.toLocaleString("en")} is taken.`);
    field.value = text(taken);
    set(taken);
  };
  /** @param {KeyboardEvent & {currentTarget: HTMLInputElement}} event */
  const press = (event) => {
    if (event.key === "Enter") take(event), enter?.();
  };
  return html`<input id=${id} type="number" min=${low} max=${high} step=${step} inputmode=${step < 1 ? "decimal" : "numeric"} aria-label=${label} ref=${input} onChange=${take} onBlur=${show} onKeyDown=${press} />`;
}

/** @param {{commands: Commands}} props what can be done with the picked tile */
function PickCard({ commands }) {
  const { store } = commands;
  const picked = store.now("picked");
  const locked = picked !== null && store.now("locked").includes(picked);
  const none = picked === null;
  return html`<section class="card pick-card">
    <div class="head"><h2 id="pick-name">${none ? "No tile picked" : `Tile ${picked + 1}`}</h2></div>
    <div class="row">
      <${Button} id="spread" class="primary wide" icon="spread" label="Spread" letter="S" disabled=${none} title="All other unlocked tiles continue from this picture (S)" run=${() => commands.spread()} />
      <${Button} id="keep" icon="keep" label="Keep" letter="K" disabled=${none} title="Put this picture on the shelf (K)" run=${() => commands.keep()} />
    </div>
    <div class="row">
      <${Button} id="choose" class="wide" icon="choose" label="Choose" letter="C" disabled=${none} title="Choose the best among this picture and proposals made from it, again and again (C)" run=${() => commands.choose()} />
      <${Button} id="fan" icon="fan" label="Fan" letter="F" disabled=${none} title="Show variants of this picture at rising noise levels (F)" run=${() => commands.fan()} />
    </div>
    <div class="row">
      <${Button} id="mix" icon="mix" label="Mix" letter="M" disabled=${none} title="Show mixtures of this picture and the one that you click next (M)" run=${() => commands.startMix()} />
      <${Button} id="discard" icon="close" label="Discard" letter="X" disabled=${none} title="Start this tile again (X); all others with Shift" run=${() => commands.discard()} />
    </div>
    <div class="row">
      <${Button} id="colour" icon="colour" label="Colour" letter="B" disabled=${none} title="Paint colours on this picture, which the chain makes real (B)" run=${() => commands.colour()} />
      <${Button} id="paint" icon="paint" label="Paint" letter="P" disabled=${none} title="Choose which pixels change and which are held (P)" run=${() => commands.paint()} />
      <${Button} id="lock" icon="lock" label=${locked ? "Unlock" : "Lock"} letter="L" disabled=${none} title="Exclude this tile from steps (L)" run=${() => commands.toggleLock()} />
    </div>
    ${store.about.sides.length > 0 && html`<${HoldField} commands=${commands} />`}
  </section>`;
}

/** @param {{commands: Commands}} props what all tiles keep of the picked picture while the rest of it changes */
function HoldField({ commands }) {
  const { store } = commands;
  const { sides, data_shape: [channels] } = store.about;
  const held = store.now("held");
  const value = held ? String(held.side) : "";
  /** @param {{currentTarget: HTMLSelectElement}} event */
  const choose = ({ currentTarget: select }) => {
    commands.hold(select.value === "" ? null : Number(select.value));
    select.value = value; // until the chains do so
  };
  return html`<label class="field" title="All unlocked tiles continue from this picture and keep this of it, exactly">Hold for all
    <select id="hold" value=${value} onChange=${choose} disabled=${!held && store.now("picked") === null}>
      <option value="">nothing</option>
      ${sides.map((side) => html`<option value=${side}>blocks of ${side} pixels</option>`)}
      ${channels === 3 && html`<option value="0">grey values</option>`}
    </select></label>`;
}

/** @param {{id: string, accept: string, label: string, take: (files: File[]) => void}} props */
export function FileInput({ id, accept, label, take }) {
  /** @param {{currentTarget: HTMLInputElement}} event */
  const chosen = ({ currentTarget }) => {
    take([...(currentTarget.files ?? [])]);
    currentTarget.value = "";
  };
  return html`<input id=${id} class="unseen" type="file" accept=${accept} aria-label=${label} onChange=${chosen} />`;
}

/** @param {{commands: Commands}} props */
function StartCard({ commands }) {
  const { store } = commands;
  const seed = store.now("seed");
  const [given, setGiven] = useState(seed);
  /** @param {number} value */
  const set = (value) => setGiven((commands.seed = value));
  useEffect(() => set(seed), [seed]);
  return html`<section class="card start-card">
    <div class="head"><h2>Restart</h2></div>
    <div class="row">
      <${Button} id="restart-noise" label="From noise" letter="R" title="Restart all unlocked tiles from noise (R)" run=${() => commands.restart("noise")} />
      <label class="button wide" title="Start from an image file: the picked tile, or all (O). You can also drop or paste one."><${Icon} name="image" /><span class="label">Image</span><kbd>O</kbd>
        <${FileInput} id="open-image" accept="image/*" label="Start from an image file" take=${(/** @type {File[]} */ files) => commands.openFiles(files)} /></label>
      ${store.about.images > 0 && html`<${Button} id="restart-images" label="From images" letter="I" title="Restart all unlocked tiles from the given images (I)" run=${() => commands.restart("images")} />`}
    </div>
    <div class="row">
      <label class="seed">Seed <${NumberField} id="seed" low=${0} high=${store.about.max_seed} value=${given} commands=${commands} set=${set} enter=${() => commands.restart("noise")} /></label>
      <${Button} id="new-seed" class="" icon="dice" label="New" title="Choose a new seed and restart from its noise (Shift+R)" run=${() => commands.restartWithNewSeed()} />
    </div>
  </section>`;
}

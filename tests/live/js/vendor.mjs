// Make the page's preact.js of the packages in node_modules: node vendor.mjs > ../../../src/nkca/live/static/preact.js
//
// Each package's own minified module stays as it is, in a function of its own; only its import and export
// lines are rewritten, so that one file serves all without names that the browser would have to resolve.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const PACKAGES = [
  ["preact", "preact/dist/preact.module.js"],
  ["preact/hooks", "preact/hooks/dist/hooks.module.js"],
  ["@preact/signals-core", "@preact/signals-core/dist/signals-core.module.js"],
  ["@preact/signals", "@preact/signals/dist/signals.module.js"],
  ["htm", "htm/dist/htm.module.js"],
];
const EXPORTED = {
  preact: ["render"],
  "preact/hooks": ["useEffect", "useLayoutEffect", "useMemo", "useRef", "useState"],
  "@preact/signals-core": ["batch", "computed", "effect", "signal"],
};

/** @param {string} path in node_modules */
const read = (path) => readFileSync(fileURLToPath(new URL(`node_modules/${path}`, import.meta.url)), "utf8");

/** @param {string} names as in `import {a as b, c}` */
const pattern = (names) => names.replace(/([\w$]+) as ([\w$]+)/g, "$1: $2");

/** @param {string} names as in `export {a as b, c}` */
const object = (names) => names.replace(/([\w$]+) as ([\w$]+)/g, "$2: $1");

/** @param {string} text of a module */
function asFunction(text) {
  const body = text
    .replace(/\/\/# sourceMappingURL=.*/, "")
    .replace(/import\s*\{([^}]*)\}\s*from\s*"([^"]+)";?/g, (_, names, from) => `const {${pattern(names)}} = of["${from}"];`)
    .replace(/export\s*\{[^}]*\}\s*from\s*"[^"]+";?/g, "")
    .replace(/export\s*\{([^}]*)\};?/g, (_, names) => `return {${object(names)}};`)
    .replace(/export default\s*(\w+)\s*\(/, "return $1(")
    .replace(/export default\s*/, "return ");
  if (/\b(?:import|export)\b[^.:]/.test(body.replace(/"[^"]*"/g, ""))) throw new Error("an import or export line is left");
  return `(() => {${body.trim()}})()`;
}

const version = (name) => JSON.parse(read(`${name}/package.json`)).version;
const names = ["preact", "@preact/signals-core", "@preact/signals", "htm"].map((name) => `${name} ${version(name)}`);
process.stdout.write(`// ${names.join(", ")}: made by tests/live/js/vendor.mjs; licences in LICENSES.\nconst of = {};\n`);
for (const [name, path] of PACKAGES) process.stdout.write(`of["${name}"] = ${asFunction(read(path))};\n`);
process.stdout.write("export const html = of.htm.bind(of.preact.h);\n");
for (const [name, list] of Object.entries(EXPORTED)) process.stdout.write(`export const { ${list.join(", ")} } = of["${name}"];\n`);

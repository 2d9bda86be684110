// Bundles what pages use of others' work: one script, one style sheet, and the licences of all that went into them.
//
//   node build.mjs FOLDER        from the folder that holds node_modules
//
// The same packages give the same bytes, so a test can tell whether what is committed is what this makes.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const folder = process.argv[2];
const SHARED = { bundle: true, minify: true, target: ["es2022"], charset: "utf8", legalComments: "none", metafile: true, write: false };
const BUNDLES = [
  {
    name: "uppy",
    said: "Uppy",
    version: "@uppy/core",
    styles: ["@uppy/core/dist/style.min.css", "@uppy/dashboard/dist/style.min.css"],
    options: {
      entryPoints: ["uploader.js"],
      format: "iife",
      globalName: "UppyParts",
      alias: { "@transloadit/prettier-bytes": "./sizes.js" },
    },
  },
  {
    name: "uplot",
    said: "uPlot",
    version: "uplot",
    styles: ["uplot/dist/uPlot.min.css"],
    options: { entryPoints: ["chart.js"], format: "esm" },
  },
];

function description(name) {
  return JSON.parse(readFileSync(join("node_modules", name, "package.json"), "utf8"));
}

function licence(name) {
  const file = readdirSync(join("node_modules", name)).find((each) => /^(licen[cs]e|copying)(\.|$)/i.test(each));
  const { version, license } = description(name);
  const text = file === undefined ? `Licence: ${license} (its package holds no text)` : readFileSync(join("node_modules", name, file), "utf8");
  return `${name} ${version}\n\n${text.replaceAll("\r\n", "\n").trim()}\n`;
}

// Every package of which a line went into the bundle, or whose style sheet did.
function packages(metafile, sheets) {
  const inputs = Object.values(metafile.outputs).flatMap((output) => Object.entries(output.inputs));
  const used = inputs.filter(([, { bytesInOutput }]) => bytesInOutput > 0).map(([path]) => path);
  const names = [...used, ...sheets.map((style) => `node_modules/${style}`)]
    .map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1])
    .filter((name) => name !== undefined);
  return [...new Set(names)].sort();
}

mkdirSync(folder, { recursive: true });
for (const { name, said, version, styles, options } of BUNDLES) {
  const head = `/*! ${said} ${description(version).version} and what it needs; licences in ${name}.licenses.txt. Made by make vendor. */`;
  const result = await build({ ...SHARED, ...options });
  writeFileSync(join(folder, `${name}.js`), `${head}\n${result.outputFiles[0].text}`);
  const sheets = styles.map((style) => readFileSync(join("node_modules", style), "utf8").replace(/\/\*# sourceMappingURL=.*?\*\//g, "").trim());
  writeFileSync(join(folder, `${name}.css`), `${[head, ...sheets].join("\n")}\n`);
  writeFileSync(join(folder, `${name}.licenses.txt`), packages(result.metafile, styles).map(licence).join(`\n${"-".repeat(80)}\n\n`));
}

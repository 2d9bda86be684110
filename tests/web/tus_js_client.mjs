// Drives tus-js-client, as npm has it, for tests/web/test_tus_clients.py: node tus_js_client.mjs FOLDER ORDER
// FOLDER holds node_modules; ORDER is JSON. What happens is written as JSON, one thing a line.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [folder, order] = process.argv.slice(2);
const { endpoint, headers, file, name, stopAt, then, options } = JSON.parse(order);
const tus = createRequire(`${folder}/`)("tus-js-client");

const say = (what) => console.log(JSON.stringify(what));
let isStopped = false;

const upload = new tus.Upload(readFileSync(file), {
  endpoint,
  headers,
  metadata: { filename: name, filetype: "image/jpeg" },
  chunkSize: 100_000,
  retryDelays: [0, 200, 500],
  ...options,
  onChunkComplete: (size, offset) => {
    say({ offset });
    if (stopAt === undefined || isStopped || offset < stopAt) return;
    isStopped = true;
    upload.abort(then === "terminate").then(() => {
      say({ stopped: offset, url: upload.url });
      if (then === "resume") upload.start();
    });
  },
  onSuccess: () => say({ url: upload.url, done: true }),
  onError: (error) => say({ status: error.originalResponse?.getStatus() ?? 0, body: error.originalResponse?.getBody() ?? error.message }),
});
upload.start();

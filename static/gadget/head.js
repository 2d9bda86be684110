// The gadget, in the frame that its container makes for it: one script without a framework, in parts that the server
// puts together. Our address stands in the specification (data-base), because containers serve this from their own.

const root = document.getElementById("homeserver");
if (!root || root.dataset.started) return;
root.dataset.started = "yes";

const base = root.dataset.base;
const isCanvas = root.dataset.view === "canvas";
const LIMIT = isCanvas ? 20 : 8;

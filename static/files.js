// The files page with scripts: many files at once, by Uppy, in parts that go on where they stopped.
// Without it, or where the bundle does not load, the page is a plain form that does the same job.

import { LiveList } from "./files-live.js";
import { Refusals } from "./files-refused.js";
import { rememberUploads, tabName } from "./files-memory.js";
import { uppyLocale } from "./files-words.js";
import { _, amount } from "./words.js";

const ENDPOINT = "/files/tus/";
const PART_BYTES = 32 * 1024 * 1024;
const AT_ONCE = 2;
const RETRY_MS = [0, 1000, 3000, 5000, 10000, 20000, 30000];
const LONGEST_NAME = 255;
const EMPTY_PX = 230;
const FULL_PX = 420;

const form = document.getElementById("upload");
const maxBytes = Number(form.dataset.maxBytes);

function say(text) {
  document.getElementById("status").textContent = text;
}

// For everybody to see; the place is a live region itself.
function tell(text, isBad = false) {
  const place = document.getElementById("trouble");
  place.textContent = text;
  place.hidden = text === "";
  place.classList.toggle("bad", isBad);
}

// What a refusal said, as far as it can be read; an answer without one, or none at all, gives words of our own.
function problemOf(response) {
  try {
    return { ...JSON.parse(response.getBody()), status: response.getStatus() };
  } catch {
    const lost = _("The line to this site is broken. The file goes on where it stopped.");
    return { status: response?.getStatus() ?? 0, code: "unreachable", detail: lost };
  }
}

function uploadId(url) {
  return new URL(url, location.href).pathname.slice(ENDPOINT.length);
}

async function start({ Uppy, Dashboard, GoldenRetriever, Tus }) {
  const { owner } = document.getElementById("uploader").dataset;
  const tab = await tabName(owner);
  const problems = new Map();
  const list = new LiveList({ say, tell, signedOut, giveUp });
  const uppy = new Uppy({
    id: tab,
    autoProceed: true,
    restrictions: { maxFileSize: maxBytes, minFileSize: 1 },
    infoTimeout: 15000,
    // Its errors are said on the page; the console gets them for whoever looks for a fault.
    logger: { debug() {}, warn() {}, error: (...said) => console.warn(...said) },
    onBeforeFileAdded: isSendable,
    locale: uppyLocale(maxBytes), // its plugins take their words from there too
  });
  const refusals = new Refusals({ say, resend });

  uppy
    .use(Dashboard, {
      inline: true,
      target: "#uploader",
      width: "100%",
      height: EMPTY_PX,
      theme: "auto",
      note: _("Up to %(size)s each. A file that was cut off goes on where it stopped.", { size: amount(maxBytes) }),
      proudlyDisplayPoweredByUppy: false,
      disableInformer: true, // what it would say is said below, once and for everybody
      doneButtonHandler: null,
      singleFileFullScreen: false,
      hideUploadButton: true, // files go as soon as they are chosen
    })
    .use(Tus, {
      endpoint: ENDPOINT,
      limit: AT_ONCE,
      chunkSize: PART_BYTES,
      retryDelays: RETRY_MS,
      removeFingerprintOnSuccess: true,
      allowedMetaFields: ["name", "type"],
      urlStorage: rememberUploads(tab),
      headers: { "Upload-Owner": owner }, // not for whoever has signed in since
      storeFingerprintForResuming: true,
      // Uppy shows the message of an error; ours are in words.
      onError: (error) => {
        const problem = problemOf(error.originalResponse ?? error.cause?.originalResponse);
        error.message = problem.detail;
      },
    })
    .use(GoldenRetriever);

  function inform() {
    const info = uppy.getState().info.at(-1);
    if (info) tell([info.message, info.details].filter(Boolean).join(" "), info.type === "error");
    else tell(navigator.onLine ? "" : _("You are offline. Your files go on when the line is back."));
  }
  uppy.on("info-visible", inform);
  uppy.on("info-hidden", inform);
  window.addEventListener("offline", inform);

  // --- what becomes of a file --------------------------------------------------------------------------------------

  uppy.on("upload-success", (file, response) => {
    const id = uploadId(response.uploadURL);
    // From here on the file is with the site, and the list says what becomes of it.
    setTimeout(() => {
      uppy.removeFile(file.id);
      arrived(id);
    });
  });

  uppy.on("upload-error", (file, error, response) => {
    const problem = problemOf(response && { getBody: () => response.body.xhr.responseText, getStatus: () => response.status });
    if (problem.status === 401) {
      problems.set(file.id, "signed out");
      signedOut();
    } else if ([400, 403, 413, 415, 422].includes(problem.status)) {
      // The storage's last word, or ours: the file waits outside of the queue, for what its owner says.
      setTimeout(() => {
        uppy.setState({ info: [] }); // the same would be said twice
        inform();
        uppy.removeFile(file.id);
        refusals.add({ data: file.data, name: file.meta.name, type: file.type }, problem);
        list.refresh();
      });
    } else if (problem.status === 410) {
      // Given up elsewhere, or it waited too long: it is no use to go on with it.
      setTimeout(() => {
        uppy.setFileState(file.id, { tus: undefined });
        uppy.removeFile(file.id);
      });
    } else {
      problems.set(file.id, "cut off");
    }
  });

  const fit = () => uppy.getPlugin("Dashboard").setOptions({ height: uppy.getFiles().length === 0 ? EMPTY_PX : FULL_PX });
  uppy.on("files-added", fit);
  uppy.on("restored", fit);

  uppy.on("file-removed", (file) => {
    problems.delete(file.id);
    fit();
    // What is on its way is given up by Uppy itself; what only waits for a word, here.
    if ((file.isGhost || file.error) && file.tus?.uploadUrl) {
      fetch(file.tus.uploadUrl, { method: "DELETE", headers: { "Tus-Resumable": "1.0.0" } }).finally(() => list.refresh());
    }
    list.refresh();
  });

  window.addEventListener("online", () => retry("cut off"));

  function retry(kind) {
    for (const [id, why] of [...problems]) {
      if (why !== kind) continue;
      problems.delete(id);
      if (uppy.getFile(id)) uppy.retryUpload(id);
    }
  }

  // Whether a file is given up that this page is sending: Uppy has to know of it, or would begin anew.
  function giveUp(id) {
    const file = uppy.getFiles().find(({ tus }) => tus?.uploadUrl && uploadId(tus.uploadUrl) === id);
    if (file !== undefined) uppy.removeFile(file.id);
    return file !== undefined;
  }

  // Whether it is in the queue now. What Uppy has against it, it has said.
  function resend({ data, name, type }) {
    try {
      uppy.addFile({ data, name, type });
      return true;
    } catch {
      return false;
    }
  }

  function isSendable(file, files) {
    const name = file.meta.name;
    if (name.length > LONGEST_NAME) {
      uppy.info(_("The name of %(name)s… is longer than %(count)s characters. Rename the file.", { name: name.slice(0, 40), count: LONGEST_NAME }), "error");
      return false;
    }
    // eslint-disable-next-line no-control-regex
    if (/[\u0000-\u001f\u007f]/.test(name)) {
      uppy.info(_("The name of %(name)s has characters that cannot be sent. Rename the file.", { name }), "error");
      return false;
    }
    return !Object.hasOwn(files, file.id) || files[file.id].isGhost;
  }

  // --- after a reload ----------------------------------------------------------------------------------------------

  // What the browser kept goes on by itself; for the rest the page asks, and goes on once it has the last one.
  function goOnIfWhole() {
    if (uppy.getState().recoveredState === null) return;
    if (uppy.getFiles().every((file) => !file.isGhost)) uppy.emit("restore-confirmed");
  }
  uppy.on("restored", () => setTimeout(goOnIfWhole));
  uppy.on("files-added", () => setTimeout(goOnIfWhole));

  // --- Orange's pages: activation and consent ------------------------------------------------------------------------

  // The page goes there by itself once, and only when nothing would be lost by leaving.
  let place = null;
  async function arrived(id) {
    try {
      const answer = await fetch(`/files/${id}`, { headers: { Accept: "application/json" }, cache: "no-store" });
      const upload = answer.ok ? await answer.json() : {};
      if (["needs_activation", "needs_consent"].includes(upload.storage) && upload.portal_url) place ??= upload.portal_url;
    } catch {
      // The list shows the same a moment later, with a button.
    }
    list.refresh();
    if (place !== null && uppy.getFiles().length === 0 && refusals.isEmpty) {
      const address = place;
      place = null;
      location.assign(address);
    }
  }
  // Whoever went by the button, or says that it is done, needs not be sent again.
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("a.portal")) place = null;
  });
  document.addEventListener("submit", () => {
    place = null;
  });

  // --- signing in again --------------------------------------------------------------------------------------------

  function signedOut() {
    const notice = document.getElementById("signed-out");
    if (uppy.getFiles().length === 0 && refusals.isEmpty) {
      location.reload();
      return;
    }
    if (!notice.hidden) return;
    notice.hidden = false;
    say(notice.textContent);
  }
  window.addEventListener("focus", async () => {
    if (document.getElementById("signed-out").hidden) return;
    const answer = await fetch("/files", { headers: { Accept: "application/json" }, cache: "no-store" });
    if (!answer.ok) return;
    document.getElementById("signed-out").hidden = true;
    list.look();
    retry("signed out");
  });

  window.addEventListener("beforeunload", (event) => {
    const data = uppy.getFiles().some((file) => !file.isGhost && !file.progress.uploadComplete);
    if (data || !refusals.isEmpty) event.preventDefault();
  });
}

if (window.UppyParts) {
  document.documentElement.classList.add("scripted");
  start(window.UppyParts);
}

// What a browser remembers of uploads that are not whole yet, so that the same file, chosen again, goes on.

const NAME = "uploads of this tab";
const PREFIX = "upload ";
const KEPT_MS = 48 * 3600 * 1000;

// A name that a tab keeps when it is loaded again and shares with no other. A tab that was duplicated begins anew, and so
// does one in which somebody else has signed in: what the browser kept of a file is for its owner alone.
export async function tabName(owner) {
  const place = `${NAME}, ${owner}`;
  const kept = sessionStorage.getItem(place);
  if (kept !== null && (await isOurs(kept))) return kept;
  const fresh = `files-${[...crypto.getRandomValues(new Uint32Array(3))].map((each) => each.toString(36)).join("")}`;
  sessionStorage.setItem(place, fresh);
  await isOurs(fresh);
  return fresh;
}

// Locks need https or localhost. Elsewhere a duplicated tab shares what is kept of its files with the first.
function isOurs(name) {
  if (navigator.locks === undefined) return Promise.resolve(true);
  return new Promise((resolve) => {
    // The page before this one may take a moment to let go.
    const signal = AbortSignal.timeout(1000);
    navigator.locks
      .request(name, { signal }, () => {
        resolve(true);
        return new Promise(() => {});
      })
      .catch(() => resolve(false));
  });
}

// Where tus-js-client keeps the addresses of uploads. A file is known by name, kind, size and time, whatever the tab.
export function rememberUploads(tab) {
  const key = (fingerprint) => PREFIX + fingerprint.replace(tab, "");
  forgetOld();
  return {
    async findAllUploads() {
      return [];
    },
    async findUploadsByFingerprint(fingerprint) {
      const found = read(key(fingerprint));
      return found === null ? [] : [{ ...found, urlStorageKey: key(fingerprint) }];
    },
    async removeUpload(name) {
      localStorage.removeItem(name);
    },
    async addUpload(fingerprint, upload) {
      try {
        localStorage.setItem(key(fingerprint), JSON.stringify({ ...upload, keptMs: Date.now() }));
      } catch {
        // Full: then this file begins anew after a reload.
      }
      return key(fingerprint);
    },
  };
}

function read(name) {
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null;
  }
}

function forgetOld() {
  for (const name of Object.keys(localStorage)) {
    if (name.startsWith(PREFIX) && !(Date.now() - read(name)?.keptMs < KEPT_MS)) localStorage.removeItem(name);
  }
}

// What the gadget asks and hears: the handshake that the container signs, and plain fetch() with the token that it
// brought. A token lasts an hour, a page longer: it is renewed when the server no longer takes it.

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 60000;
const HANDSHAKE_MS = 30000;
const CALL_MS = 60000; // the server itself waits for a network for less

let token = null;
let renewing = null; // one handshake serves all calls that wait for it

class Refused extends Error {
  constructor(status, code, waitMs = null) {
    super(code || String(status));
    this.status = status;
    this.code = code;
    this.waitMs = waitMs;
  }
}

// Nobody answered. `sent` says that what was asked may have been done all the same.
class Silence extends Error {
  constructor(sent = false) {
    super("silence");
    this.sent = sent;
  }
}

// The container signs this one: it is how the server knows who looks at whose page.
function shakeHands() {
  renewing = renewing || new Promise((resolve, reject) => {
    const io = gadgets.io;
    const parameters = {
      [io.RequestParameters.METHOD]: io.MethodType.POST,
      [io.RequestParameters.AUTHORIZATION]: io.AuthorizationType.SIGNED,
      [io.RequestParameters.CONTENT_TYPE]: io.ContentType.JSON,
      [io.RequestParameters.POST_DATA]: "",
    };
    setTimeout(() => reject(new Silence()), HANDSHAKE_MS); // some containers never call back when they are offline
    io.makeRequest(`${base}/gadget/session`, (answer) => {
      const opened = answer && answer.data;
      const status = Number((answer && answer.rc) || 0);
      if (opened && typeof opened.token === "string") {
        token = opened.token;
        resolve(opened);
      } else if (navigator.onLine === false || status === 0 || status >= 500) {
        reject(new Silence());
      } else {
        reject(new Refused(status, status === 429 ? "opened_too_often" : "handshake_refused"));
      }
    }, parameters);
  }).finally(() => {
    renewing = null;
  });
  return renewing;
}

async function ask(method, path, { body, signal, accept = "application/json" } = {}) {
  for (let attempt = 0; ; attempt += 1) {
    const used = token;
    const headers = { Authorization: ["Bearer", used].join(" "), Accept: accept };
    if (body) headers["Content-Type"] = "application/json";
    let answer;
    try {
      answer = await fetch(`${base}/gadget/v1/${path}`, {
        method, headers, signal: signal || AbortSignal.timeout(CALL_MS), credentials: "omit", cache: "no-store",
        body: body && JSON.stringify(body),
      });
    } catch {
      throw new Silence(method !== "GET");
    }
    if (answer.status !== 401 || attempt > 0) return answer;
    if (token === used) await shakeHands();
  }
}

async function call(method, path, body) {
  const answer = await ask(method, path, { body });
  let content;
  try {
    content = await answer.json();
  } catch {
    content = null;
  }
  if (answer.ok) {
    if (content === null) throw new Silence(method !== "GET"); // cut off
    return content;
  }
  throw refusal(answer, content);
}

function refusal(answer, problem) {
  const waitS = Number(answer.headers.get("Retry-After"));
  return new Refused(answer.status, problem && problem.code, waitS > 0 ? waitS * 1000 : null);
}

// --- trying again ----------------------------------------------------------------------------------------------------

// Waits that grow, each other than those of other people's gadgets: a server that comes back is not run over.
class Waits {
  constructor() {
    this.failures = 0;
  }
  succeeded() {
    this.failures = 0;
  }
  next(error) {
    const grown = Math.min(FIRST_WAIT_MS * 2 ** this.failures, LONGEST_WAIT_MS);
    this.failures += 1;
    return Math.max(grown * (0.5 + Math.random() / 2), (error && error.waitMs) || 0);
  }
}

// Until so much time has passed; for who is offline, until they are not; or until somebody wants to go on.
function pause(ms, signal = null) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    addEventListener("online", done);
    if (signal) signal.addEventListener("abort", done, { once: true });
  });
}

const worthAnotherTry = (error) =>
  error instanceof Silence || (error instanceof Refused && (error.status === 429 || error.status >= 500));

// --- live ------------------------------------------------------------------------------------------------------------

const SILENT_MS = 60000; // the server says something every 15 seconds
const POLL_MS = 60000;

// The events of a stream of server-sent events. EventSource sends no Authorization header, and a token is no part of an
// address. Ends when the stream does, or when it has been silent for too long.
async function* eventsOf(answer, abort) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const timer = setTimeout(() => abort.abort(), SILENT_MS);
    let piece;
    try {
      piece = await reader.read();
    } finally {
      clearTimeout(timer);
    }
    if (piece.done) return;
    const parts = (waiting + piece.value).split(/\r?\n\r?\n/);
    waiting = parts.pop();
    for (const part of parts) {
      const event = { name: "message", data: "" };
      for (const line of part.split(/\r?\n/)) {
        const [, field, value] = /^(event|data): ?(.*)$/.exec(line) || [];
        if (field === "event") event.name = value;
        if (field === "data") event.data += value;
      }
      yield event;
    }
  }
}

const seen = () => (document.hidden
  ? new Promise((resolve) => { document.addEventListener("visibilitychange", resolve, { once: true }); }).then(seen)
  : Promise.resolve());

// Tells of every change of what `path` names, for as long as the page lives: by one stream while it is seen, by none
// while it is hidden. What was missed in between nobody tells, so `opened` is called each time that telling begins.
// The function that it gives begins anew, for a `path` that has changed.
function listen({ path, opened, changed, lost }) {
  let abort = new AbortController();
  let isAnew = false;
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) abort.abort();
  });

  async function once(waits) {
    const answer = await ask("GET", path(), { signal: abort.signal, accept: "text/event-stream" });
    if (answer.status === 404) { // a server without streams is asked now and then
      waits.succeeded();
      await pause(POLL_MS, abort.signal);
      if (!abort.signal.aborted) opened(false);
      return;
    }
    if (!answer.ok || !answer.body) throw refusal(answer, null);
    waits.succeeded();
    opened(true);
    for await (const event of eventsOf(answer, abort)) {
      if (event.name === "changed") changed();
    }
  }

  async function always() {
    const waits = new Waits();
    for (;;) {
      await seen();
      abort = new AbortController();
      isAnew = false;
      let failure = null;
      try {
        await once(waits);
      } catch (error) {
        failure = error;
      }
      abort.abort();
      if (isAnew || document.hidden) continue;
      if (failure) lost();
      await pause(waits.next(failure));
    }
  }

  always();
  return () => {
    isAnew = true;
    abort.abort();
  };
}

// The gadget itself: what it knows, what it asks for and when, what the reader can do.

const SYNC_POLL_MS = 1500;
const SYNC_POLLS = 12;
const STALE_MS = 3600000;
const TICK_MS = 30000;
const NAMED = 3; // of those who were overtaken
const GATHER_MS = 500; // changes come in bursts

const state = {
  viewer: null, owner: null, ownersPlaces: [], boards: [], board: null, period: "all", who: "everybody", cursor: null,
  page: null, places: [], synced: false, syncedAt: null, aheadMs: 0,
  busy: false, loading: false, live: "off", unsure: null, complaint: null,
};
let asked = 0; // only the answer to the last question is shown
let listenAnew = () => undefined;
let actionText = ""; // the operator's own, for the button that adds one

// --- what is shown ---------------------------------------------------------------------------------------------------

const firstPeriod = (board) => (board.periods.includes("all") ? "all" : board.periods[0]);

// Which boards take no scores: that changes now and then, and no stream tells of it.
async function readClosures() {
  const { boards } = await call("GET", "boards");
  for (const board of state.boards) {
    const now = boards.find((one) => one.id === board.id);
    if (now) board.closed = now.closed;
  }
  draw();
}

function chooseBoard(id) {
  readClosures().catch(() => undefined);
  state.board = state.boards.find((board) => board.id === id);
  if (!state.board.periods.includes(state.period)) state.period = firstPeriod(state.board);
  return showAnother();
}

function choosePeriod(period) {
  state.period = period;
  return showAnother();
}

function chooseWho(who) {
  state.who = who;
  return show();
}

function showAnother() {
  listenAnew();
  return show();
}

function show() {
  state.cursor = null;
  return load();
}

function turn(cursor) {
  state.cursor = cursor;
  if (state.who === "around") state.who = "everybody";
  return load();
}

async function load({ calmly = false } = {}) {
  const question = ++asked;
  if (!state.board) return draw();
  // A cursor is of one period: should that end meanwhile, it is read to its end.
  const period = state.cursor ? state.page.period.id : state.period;
  const query = new URLSearchParams({ period, limit: String(LIMIT) });
  if (state.who === "friends") query.set("friends", "true");
  if (state.who === "around") query.set("around", "me");
  if (state.cursor) query.set("cursor", state.cursor);
  state.loading = true;
  if (!calmly) draw();
  try {
    const page = await call("GET", `boards/${encodeURIComponent(state.board.id)}/entries?${query}`);
    if (question !== asked) return undefined;
    state.loading = false;
    if (calmly && isHeld()) return undefined;
    state.page = page;
    state.aheadMs = Date.parse(page.as_of) - Date.now();
    heal(load);
    return draw({ calmly });
  } catch (error) {
    if (question !== asked) return undefined;
    state.loading = false;
    if (error.code === "stale_cursor") return show(); // the board has changed: from the top
    return complain(error, load);
  }
}

async function readPlaces() {
  const [own, theirs] = await Promise.all([
    state.viewer && call("GET", "me"),
    state.owner && call("GET", `players/${encodeURIComponent(state.owner.id)}`).catch(whereNobody),
  ]);
  if (own) state.places = own.places;
  state.ownersPlaces = theirs ? theirs.places : [];
}

// Whose page it is may have hidden themselves since, or be gone.
function whereNobody(error) {
  if (error.code !== "not_found") throw error;
  return null;
}

// --- what goes wrong -------------------------------------------------------------------------------------------------

const troubles = new Waits();

function words(error) {
  if (error instanceof Silence) return navigator.onLine === false ? _("You are offline.") : _("The server cannot be reached.");
  if (!(error instanceof Refused)) return _("Something went wrong in this gadget.");
  switch (error.code) {
    case "handshake_refused":
      return error.status === 401 ? _("The server does not accept this container's signature.") : _("This page has been open for too long. Load it again.");
    case "opened_too_often": return _("You open this gadget very often. Wait a minute.");
    case "too_many": return _("That was asked too often. Wait a little.");
    case "not_found": return _("This is not there any more.");
    case "forbidden": return _("You may only look here.");
    case "conflict": return _("The board takes no scores for now.");
    case "bad_input": return _("The board does not take this score.");
    default: break;
  }
  if (/^remote_/.test(error.code || "")) return _("Your network does not answer as it should, so nothing was saved.");
  return _("The server has a problem (%(code)s).", { code: error.code || error.status });
}

// Say what is wrong, until what was in vain has worked. What reads only is tried again by itself, now where there is a
// button for it; a score is written once for each time that somebody asks for it. What is said already stays as it is:
// the button keeps the focus, and nobody is told again and again.
async function complain(error, again, { isRead = true, text = words(error) } = {}) {
  draw();
  const isTemporary = isRead && worthAnotherTry(error);
  const way = isTemporary ? _("Try again now") : _("Try again");
  const mine = { again, said: `${text} ${way}` };
  if (!state.complaint || state.complaint.said !== mine.said) {
    say(`${text} `, "bad", make("button", { type: "button", class: "button", onclick: retry }, way));
  }
  state.complaint = mine;
  if (!isTemporary) return;
  await pause(troubles.next(error));
  if (state.complaint === mine) again();
}

function retry() {
  const { again } = state.complaint;
  say("");
  again();
}

function heal(again) {
  troubles.succeeded();
  if (state.complaint && state.complaint.again === again) say("");
}

addEventListener("offline", () => {
  state.live = "off";
  drawPulse();
  if (state.complaint) return;
  say(_("You are offline. What you see is as it was."), "bad");
  state.complaint = { again: load };
});
addEventListener("online", () => {
  listenAnew(); // a stream that seems to have lasted may be dead
  if (state.page) load({ calmly: true });
});

// --- live ------------------------------------------------------------------------------------------------------------

let gathering = null;

// Read anew what is shown, without a word; while somebody points at it, as soon as they no longer do.
function refresh() {
  if (gathering || state.busy) return;
  gathering = setTimeout(async () => {
    gathering = null;
    if (isHeld()) return;
    await readPlaces().catch(() => undefined);
    if (!state.busy && !state.loading && !isHeld()) await load({ calmly: true });
  }, GATHER_MS);
}

// Whether somebody points at the table: then it is read anew as soon as they no longer do.
function isHeld() {
  const board = view.querySelector(".board");
  if (!board || !isPointedAt()) return false;
  board.addEventListener("pointerleave", refresh, { once: true });
  return true;
}

function live() {
  listenAnew = listen({
    path: () => `events?${new URLSearchParams({ board: state.board.id, period: state.period })}`,
    opened(isStream) {
      state.live = isStream ? "on" : "off";
      drawPulse();
      refresh();
    },
    changed: refresh,
    lost() {
      state.live = "off";
      drawPulse();
    },
  });
}

// The time left runs down, and a period that has ended makes room for the next one.
setInterval(() => {
  const caption = view.querySelector("caption");
  if (!caption || document.hidden) return;
  caption.textContent = captionOf(state.page);
  drawPulse();
  const { ends } = state.page.period;
  if (ends && !state.cursor && Date.parse(ends) <= Date.now() + state.aheadMs) refresh();
}, TICK_MS);

// --- a score ---------------------------------------------------------------------------------------------------------

// Adding one is for boards that take scores, count upwards and know their count.
function canAdd() {
  return state.viewer && state.board && !state.board.closed && state.board.order === "more" && state.board.periods.includes("all");
}

const ownScore = (board) => {
  const own = state.places.find((one) => one.board === board.id && one.period.id === "all");
  return own && own.score;
};

// To the board of the button: another one may be chosen while the answer is awaited.
async function addOne(board) {
  state.busy = true;
  say("");
  draw();
  try {
    await readPlaces();
    if (state.unsure && state.unsure.board === board.id && state.unsure.value === ownScore(board)) {
      await finished(_("Saved: %(score)s.", { score: score(state.unsure.value, board) })); // nobody had said so
      return;
    }
    const sent = { board: board.id, value: plusOne(ownScore(board) || "0") };
    state.unsure = sent;
    if (board.dated) sent.date = `${new Date().toISOString().slice(0, 19)}Z`; // as the guide writes it
    const placed = await call("POST", "scores", sent);
    await readPlaces().catch(() => undefined); // the score is written: nothing may offer to write it again
    await finished(outcome(placed, board));
  } catch (error) {
    state.busy = false;
    // Where no answer came it may have been written: the next attempt looks first, and nothing is tried by itself.
    const isUnsure = error instanceof Silence && error.sent;
    if (!isUnsure) state.unsure = null;
    if (error.code === "conflict") readClosures().catch(() => undefined);
    const text = isUnsure ? _("No answer came: perhaps it was saved, perhaps not. Trying again looks first.") : words(error);
    complain(error, () => addOne(board), { isRead: false, text });
  }
}

async function finished(text) {
  state.unsure = null;
  state.busy = false;
  state.who = "around";
  say(text, "good");
  await show();
}

// What a score did: the place in each period, and who was overtaken, where most were.
function outcome(placed, board) {
  const value = { score: score(placed.value, board) };
  if (placed.pending) return _("Saved: %(score)s. It counts once it has been looked at.", value);
  const lines = [_("Saved: %(score)s.", value)];
  let beaten = null;
  for (const change of placed.changes.filter((one) => one.rank !== null)) {
    const where = { period: change.period.title || spanName(spanOf(change.period)), place: place(change.rank, change.tied) };
    if (change.passed) lines.push(_n("%(period)s: place %(place)s, up %(n)s place.", "%(period)s: place %(place)s, up %(n)s places.", change.passed, where));
    else lines.push(_("%(period)s: place %(place)s.", where));
    if (change.overtaken.length && (!beaten || change.overtaken.length > beaten.overtaken.length)) beaten = change;
  }
  if (beaten) {
    const names = beaten.overtaken.slice(0, NAMED).map((player) => isolated(player.name));
    if (beaten.overtaken.length > NAMED) lines.push(_("You have overtaken %(names)s and others.", { names: names.join(", ") }));
    else lines.push(_("You have overtaken %(names)s.", { names: listed(names) }));
  }
  if (placed.changes.some((change) => change.is_best && isLasting(change.period))) lines.push(_("It is your best so far."));
  return lines.join(" ");
}

// --- the pages -------------------------------------------------------------------------------------------------------

// The tab is opened by the click itself, so that no blocker stops it, and gets its address when that has come.
async function openPage(to = "") {
  const tab = window.open("about:blank", "_blank");
  try {
    const url = `${(await call("POST", "page-links")).url}${to}`;
    if (tab) {
      tab.opener = null;
      tab.location.replace(url);
    } else {
      say("", "", make("a", { class: "button", href: url, target: "_blank", rel: "noopener noreferrer" }, _("Open my page")));
    }
  } catch (error) {
    if (tab) tab.close();
    complain(error, () => openPage(to), { isRead: false });
  }
}

// --- beginning -------------------------------------------------------------------------------------------------------

// Opening the gadget makes the server read this player's data. Until it was read once, adding to it would overwrite a
// value that we do not know.
async function waitForSync() {
  for (let polls = 0; polls < SYNC_POLLS; polls += 1) {
    const sync = await call("POST", "sync").catch((error) => {
      if (error.status === 429) return { synced_at: null, queued: true };
      throw error;
    });
    if (sync.synced_at !== null) {
      state.syncedAt = sync.synced_at;
      if (!state.synced) {
        state.synced = true;
        draw();
      }
    }
    if (!sync.queued) break;
    await pause(SYNC_POLL_MS);
  }
  if (!state.synced) say(_("Your scores could not be read from your network yet."));
  await readPlaces();
  if (!isHeld()) await load({ calmly: true });
}

async function start() {
  try {
    const { viewer, owner } = await shakeHands();
    state.viewer = viewer;
    state.owner = owner && !(viewer && viewer.id === owner.id) ? owner : null;
    state.boards = (await call("GET", "boards")).boards;
    state.board = state.boards[0] || null;
    if (state.board) state.period = firstPeriod(state.board);
    heal(start);
  } catch (error) {
    complain(error, start);
    return;
  }
  await show();
  if (!state.board) return;
  live();
  if (state.viewer) synchronise();
  else say(_("You see this as a guest. Add the application to take part."));
  readPlaces().then(() => draw(), () => undefined); // they are read again when something changes
}

async function synchronise() {
  const waits = new Waits();
  for (;;) {
    try {
      await waitForSync();
      return;
    } catch (error) {
      if (!worthAnotherTry(error)) {
        complain(error, synchronise);
        return;
      }
      await pause(waits.next(error));
    }
  }
}

function begin() {
  language = chooseLanguage();
  root.lang = language;
  actionText = JSON.parse(root.dataset.actions)[language] || root.dataset.action;
  root.replaceChildren(view, said, pulse);
  draw();
  start();
}

if (window.gadgets && gadgets.util && gadgets.util.registerOnLoadHandler) gadgets.util.registerOnLoadHandler(begin);
else begin();

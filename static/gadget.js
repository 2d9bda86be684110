// The gadget: who the viewer is comes from a request that the container signs; everything after that is plain fetch()
// with the token which that request brought. Our address stands in the specification (data-base), because containers
// serve this script from their own. Nothing that people wrote is ever parsed as HTML.
(() => {
  "use strict";

  const root = document.getElementById("homeserver");
  if (!root || root.dataset.started) return;
  root.dataset.started = "yes";

  const base = root.dataset.base;
  const isCanvas = root.dataset.view === "canvas";
  const LIMIT = isCanvas ? 20 : 8;
  const SYNC_POLL_MS = 1500;
  const SYNC_POLLS = 12;
  const SPANS = { all: "All time", season: "Season", month: "Month", week: "Week", day: "Today" };
  const SERVER_SILENT = "The server cannot be reached. Are you online?";

  const state = {
    token: null, viewer: null, boards: [], board: null, period: "all", who: "everybody", cursor: null,
    page: null, places: [], synced: false, busy: false,
  };
  let asked = 0; // only the answer to the last question is shown

  // --- drawing -------------------------------------------------------------------------------------------------------

  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "onclick") element.addEventListener("click", value);
      else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  const said = make("p", { class: "said", role: "status" });
  const view = make("div");
  root.replaceChildren(view, said);

  function say(text, tone, ...more) {
    said.className = `said ${tone || ""}`;
    said.replaceChildren(text, ...more);
    fit();
  }

  function fit() {
    if (window.gadgets && gadgets.window && gadgets.window.adjustHeight) gadgets.window.adjustHeight();
  }

  function draw() {
    const active = document.activeElement;
    const key = active && root.contains(active) ? active.dataset.key : null;
    view.replaceChildren(...[boardTabs(), choices(), table(), ownLine(), actions()].filter(Boolean));
    if (key) {
      const again = [...view.querySelectorAll("[data-key]")].find((element) => element.dataset.key === key);
      if (again) again.focus();
    }
    fit();
  }

  function tabs(label, options, chosen, choose) {
    return make("div", { class: "tabs", role: "group", "aria-label": label }, ...options.map(([value, text]) =>
      make("button", {
        type: "button", "aria-pressed": String(value === chosen), "data-key": `${label} ${value}`,
        onclick: () => choose(value),
      }, text)));
  }

  function boardTabs() {
    if (state.boards.length < 2) return null;
    const options = state.boards.map((board) => [board.id, board.title]);
    return make("div", { class: "bar" }, tabs("Board", options, state.board.id, (id) => {
      state.board = state.boards.find((board) => board.id === id);
      if (!state.board.periods.includes(state.period)) state.period = firstPeriod(state.board);
      show();
    }));
  }

  function choices() {
    if (!state.board) return null;
    const periods = state.board.periods.map((span) => [span, SPANS[span] || span]);
    const bar = make("div", { class: "bar" }, tabs("Period", periods, state.period, (period) => {
      state.period = period;
      show();
    }));
    if (state.viewer) {
      const who = [["everybody", "Everybody"], ["friends", "Friends"], ["around", "Around me"]];
      bar.append(tabs("Who", who, state.who, (value) => {
        state.who = value;
        show();
      }));
    }
    return bar;
  }

  const place = (rank, tied) => (rank === null ? "\u2013" : `${tied ? "=" : ""}${rank.toLocaleString("en")}`);

  function table() {
    const page = state.page;
    if (!state.board) return make("p", { class: "empty" }, "There are no boards yet.");
    if (!page) return make("p", { class: "empty" }, "Loading the leaderboard...");
    if (page.entries.length === 0) {
      return make("p", { class: "empty" }, state.who === "friends"
        ? "Neither you nor your friends are on this board yet."
        : "Nobody is on this board yet. Be the first.");
    }
    const total = `${page.total.toLocaleString("en")} ${page.total === 1 ? "player" : "players"}`;
    const friends = page.friends === null ? "" : `places among you and your friends, ${page.friends.toLocaleString("en")} of `;
    return make("table", {},
      make("caption", {}, `${state.board.title}${page.period.title ? ` \u00b7 ${page.period.title}` : ""} \u00b7 ${friends}${total}${left(page)}`),
      make("thead", {}, make("tr", {},
        make("th", { scope: "col" }, "Place"), make("th", { scope: "col" }, "Player"),
        make("th", { scope: "col", class: "num" }, "Score"))),
      make("tbody", {}, ...page.entries.map(row)));
  }

  // Where the viewer stands in this period, better than how many that is, and what is missing to a better place.
  function ownLine() {
    const shown = state.page && state.page.period.id;
    const own = state.board && state.places.find((one) => one.board === state.board.id && one.period.id === shown);
    if (!own || (own.rank === null && !own.pending)) return null;
    const waits = own.pending ? [`${own.pending.display} waits to be looked at`] : [];
    if (own.rank === null) return make("p", { class: "own" }, make("b", {}, "You: "), waits[0]);
    const parts = [`place ${place(own.rank, own.tied)} of ${own.total.toLocaleString("en")}`];
    if (own.better_than !== null) parts.push(`better than ${own.better_than === 1 ? "all others" : `${percent(own.better_than)}% of the others`}`);
    if (own.next) parts.push(`${own.next.missing_display} ${state.board.order === "more" ? "more" : "less"} for place ${place(own.next.rank)}`);
    if (own.state === "hidden" || own.state === "removed") parts.push("seen by you alone");
    return make("p", { class: "own" }, make("b", {}, "You: "), [...parts, ...waits].join(" \u00b7 "));
  }

  const spanOf = (period) => period.id.split(":")[0];

  // Rounded down, as on the pages; 0.29 * 100 is a little less than 29.
  const percent = (share) => Math.floor(share * 100 + 1e-9);

  function row(entry) {
    const name = make("span", { class: "name" }, make("bdi", {}, entry.player.name), entry.me ? " (you)" : "");
    const among = entry.friend_rank !== null;
    const hints = among ? [`${place(entry.rank, entry.tied)} of all`] : [];
    if (isCanvas && entry.claimed_date) hints.push(`says ${entry.claimed_date.slice(0, 10)}`);
    return make("tr", { class: entry.me ? "mine" : null, "aria-current": entry.me ? "true" : null },
      make("td", { class: "rank" }, among ? place(entry.friend_rank, entry.friend_tied) : place(entry.rank, entry.tied)),
      make("td", { class: "who" }, make("span", { class: "player" }, face(entry.player), name,
        hints.length ? make("span", { class: "hint" }, hints.join(" \u00b7 ")) : null)),
      make("td", { class: "num" }, entry.display));
  }

  function face(player) {
    const words = player.name.split(/\s+/).filter(Boolean);
    const letters = words.length > 1 ? [words[0], words[words.length - 1]] : words;
    const box = make("span", { class: "face", "aria-hidden": "true" }, letters.map((word) => [...word][0].toUpperCase()).join(""));
    if (/^https?:\/\//i.test(player.thumbnail_url)) {
      const image = make("img", { src: player.thumbnail_url, alt: "", width: "28", height: "28", referrerpolicy: "no-referrer" });
      image.addEventListener("error", () => image.remove());
      box.append(image);
    }
    return box;
  }

  function left(page) {
    if (!page.period.ends) return "";
    const minutes = Math.floor((Date.parse(page.period.ends) - Date.parse(page.as_of)) / 60000);
    if (!(minutes > 0)) return "";
    const units = [[Math.floor(minutes / 1440), "day"], [Math.floor(minutes / 60) % 24, "hour"], [minutes % 60, "minute"]];
    while (units.length > 1 && units[0][0] === 0) units.shift();
    const shown = units.slice(0, 2).filter(([count]) => count).map(([count, unit]) => `${count} ${unit}${count === 1 ? "" : "s"}`);
    return ` \u00b7 ends in ${shown.join(" ")}`;
  }

  function actions() {
    const bar = make("div", { class: "bar acts" });
    const button = (key, text, onclick, primary) => make("button", {
      type: "button", class: primary ? "button primary" : "button", "data-key": key, disabled: state.busy, onclick,
    }, text);
    if (canAdd()) {
      const add = button("add", root.dataset.action || "Add one", addOne, true);
      add.disabled = state.busy || !state.synced;
      bar.append(add);
    }
    if (isCanvas && state.page && state.page.previous) bar.append(button("previous", "Better places", () => turn(state.page.previous)));
    if (isCanvas && state.page && state.page.next) bar.append(button("next", "Further places", () => turn(state.page.next)));
    if (state.viewer) bar.append(button("open", "Open my page", openPage));
    return bar.childElementCount ? bar : null;
  }

  // --- asking --------------------------------------------------------------------------------------------------------

  class Refused extends Error {
    constructor(status, problem) {
      super((problem && problem.detail) || `The server answered ${status}.`);
      this.status = status;
      this.code = problem && problem.code;
    }
  }

  // The container signs this one: it is how the server knows the viewer, and how we get the token.
  function shakeHands() {
    return new Promise((resolve, reject) => {
      const io = gadgets.io;
      const parameters = {};
      parameters[io.RequestParameters.METHOD] = io.MethodType.POST;
      parameters[io.RequestParameters.AUTHORIZATION] = io.AuthorizationType.SIGNED;
      parameters[io.RequestParameters.CONTENT_TYPE] = io.ContentType.JSON;
      parameters[io.RequestParameters.POST_DATA] = "";
      io.makeRequest(`${base}/gadget/session`, (answer) => {
        const opened = answer && answer.data;
        if (opened && typeof opened.token === "string") {
          state.token = opened.token;
          state.viewer = opened.viewer;
          resolve();
        } else {
          reject(new Refused((answer && answer.rc) || 0, { detail: refusal(answer) }));
        }
      }, parameters);
    });
  }

  function refusal(answer) {
    const status = answer && answer.rc;
    if (status === 401) return "The server does not accept this container's signature.";
    if (status === 429) return "You open this gadget very often. Wait a minute.";
    return "The container could not reach the server.";
  }

  async function call(method, path, body, again = true) {
    const headers = { Authorization: `Bearer ${state.token}`, Accept: "application/json" };
    if (body) headers["Content-Type"] = "application/json";
    let answer;
    try {
      answer = await fetch(`${base}/gadget/v1/${path}`, { method, headers, credentials: "omit", body: body && JSON.stringify(body) });
    } catch {
      throw new Error(SERVER_SILENT);
    }
    if (answer.status === 401 && again) {
      await shakeHands(); // tokens last an hour, pages longer
      return call(method, path, body, false);
    }
    const content = await answer.json().catch(() => null);
    if (!answer.ok) throw new Refused(answer.status, content);
    return content;
  }

  // --- doing ---------------------------------------------------------------------------------------------------------

  const firstPeriod = (board) => (board.periods.includes("all") ? "all" : board.periods[0]);

  function show() {
    state.cursor = null;
    return load();
  }

  function turn(cursor) {
    state.cursor = cursor;
    if (state.who === "around") state.who = "everybody";
    return load();
  }

  async function load() {
    const question = ++asked;
    if (!state.board) return draw();
    // A cursor is of one period: should that end meanwhile, it is read to its end.
    const period = state.cursor ? state.page.period.id : state.period;
    const query = new URLSearchParams({ period, limit: String(LIMIT) });
    if (state.who === "friends") query.set("friends", "true");
    if (state.who === "around") query.set("around", "me");
    if (state.cursor) query.set("cursor", state.cursor);
    try {
      const page = await call("GET", `boards/${encodeURIComponent(state.board.id)}/entries?${query}`);
      if (question !== asked) return undefined;
      state.page = page;
      return draw();
    } catch (error) {
      if (question !== asked) return undefined;
      if (error.code === "stale_cursor") return show(); // the board has changed: from the top
      return complain(error, load);
    }
  }

  function complain(error, retry) {
    draw();
    say(`${error.message} `, "bad", make("button", { type: "button", class: "button", onclick: () => {
      say("");
      retry();
    } }, "Try again"));
  }

  async function readPlaces() {
    state.places = (await call("GET", "me")).places;
  }

  function ownPlace() {
    return state.places.find((one) => one.board === state.board.id && one.period.id === "all");
  }

  // Adding one is for boards that count upwards and know their count.
  function canAdd() {
    return state.viewer && state.board && state.board.order === "more" && state.board.periods.includes("all");
  }

  // Decimal text plus one, exactly: a JavaScript number loses 2^53 + 1.
  function plusOne(text) {
    const [, sign, whole, fraction = ""] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
    const unit = 10n ** BigInt(fraction.length);
    const value = BigInt(`${sign}${whole}${fraction}`) + unit;
    const digits = (value < 0n ? -value : value).toString().padStart(fraction.length + 1, "0");
    const at = digits.length - fraction.length;
    return `${value < 0n ? "-" : ""}${digits.slice(0, at)}${fraction ? `.${digits.slice(at)}` : ""}`;
  }

  async function addOne() {
    state.busy = true;
    draw();
    try {
      await readPlaces();
      const own = ownPlace();
      const score = { board: state.board.id, value: plusOne((own && own.score) || "0") };
      if (state.board.dated) score.date = `${new Date().toISOString().slice(0, 19)}Z`; // as the guide writes it
      const placed = await call("POST", "scores", score);
      await readPlaces().catch(() => undefined); // the score is written: nothing may offer to write it again
      state.busy = false;
      state.who = "around";
      await show();
      say(outcome(placed), "good");
    } catch (error) {
      state.busy = false;
      complain(error, addOne);
    }
  }

  function outcome(placed) {
    const lines = placed.changes.filter((change) => change.rank !== null).map((change) => {
      const span = change.period.title || SPANS[spanOf(change.period)] || change.period.id;
      const gained = change.passed ? `, up ${change.passed.toLocaleString("en")} ${change.passed === 1 ? "place" : "places"}` : "";
      const best = change.is_best && change.period.id === "all" ? ", your best so far" : "";
      return `${span}: place ${place(change.rank, change.tied)}${gained}${best}`;
    });
    if (placed.pending) return `Saved: ${placed.value}. It counts once it has been looked at.`;
    return [`Saved: ${placed.value}.`, ...lines.map((line) => `${line}.`)].join(" ");
  }

  // The tab is opened by the click itself, so that no blocker stops it, and gets its address when that has come.
  async function openPage() {
    const tab = window.open("about:blank", "_blank");
    try {
      const { url } = await call("POST", "page-links");
      if (tab) {
        tab.opener = null;
        tab.location.replace(url);
      } else {
        say("Your page: ", "", make("a", { class: "button", href: url, target: "_blank", rel: "noopener noreferrer" }, "Open it"));
      }
    } catch (error) {
      if (tab) tab.close();
      complain(error, openPage);
    }
  }

  // Opening the gadget makes the server read this player's data. Until it was read once, adding to it would overwrite
  // a value that we do not know.
  async function waitForSync() {
    for (let polls = 0; polls < SYNC_POLLS; polls += 1) {
      const sync = await call("POST", "sync").catch((error) => {
        if (error.status === 429) return { synced_at: null, queued: true };
        throw error;
      });
      if (sync.synced_at !== null && !state.synced) {
        state.synced = true;
        draw();
      }
      if (!sync.queued) break;
      await new Promise((resolve) => setTimeout(resolve, SYNC_POLL_MS));
    }
    if (!state.synced) say("Your scores could not be read from your network yet.");
    await readPlaces();
    await load();
  }

  async function start() {
    try {
      await shakeHands();
      state.boards = (await call("GET", "boards")).boards;
      state.board = state.boards[0] || null;
      if (state.board) state.period = firstPeriod(state.board);
      await show();
      if (!state.viewer) say("You see this as a guest. Add the application to take part.");
      else if (state.board) waitForSync().catch((error) => complain(error, waitForSync));
    } catch (error) {
      complain(error, start);
    }
  }

  if (window.gadgets && gadgets.util && gadgets.util.registerOnLoadHandler) gadgets.util.registerOnLoadHandler(start);
  else start();
})();

// What is seen, drawn from `state`. What people wrote becomes text nodes and nothing else.

const MOVE_MS = 400;

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "onclick") element.addEventListener("click", value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const view = make("div", { class: "view" });
const said = make("p", { class: "said", role: "status" });
const pulse = make("p", { class: "pulse" });

function say(text, tone, ...more) {
  state.complaint = null;
  said.className = `said ${tone || ""}`;
  said.replaceChildren(text, ...more);
  fit();
}

function fit() {
  if (window.gadgets && gadgets.window && gadgets.window.adjustHeight) gadgets.window.adjustHeight();
}

function draw({ calmly = false } = {}) {
  const before = calmly ? heights() : new Map();
  const active = document.activeElement;
  const key = active && root.contains(active) ? active.dataset.key : null;
  view.replaceChildren(...[boardTabs(), choices(), closed(), ownersPlace(), ownPlace(), hiddenByMe(), table(), actions()].filter(Boolean));
  if (key) {
    const again = [...view.querySelectorAll("[data-key]")].find((element) => element.dataset.key === key);
    if (again) again.focus({ preventScroll: true });
  }
  moveFrom(before);
  drawPulse();
  fit();
}

// --- choosing --------------------------------------------------------------------------------------------------------

function tabs(label, key, options, chosen, choose) {
  return make("div", { class: "tabs", role: "group", "aria-label": label }, ...options.map(([value, text]) =>
    make("button", {
      type: "button", "aria-pressed": String(value === chosen), "data-key": `${key} ${value}`,
      onclick: () => choose(value),
    }, text)));
}

function boardTabs() {
  if (state.boards.length < 2) return null;
  const options = state.boards.map((board) => [board.id, board.title]);
  return make("div", { class: "bar" }, tabs(_("Board"), "board", options, state.board.id, chooseBoard));
}

function spanName(span) {
  switch (span) {
    case "all": return _("All time");
    case "season": return _("Season");
    case "month": return _("Month");
    case "week": return _("Week");
    case "day": return _("Today");
    default: return span;
  }
}

const spanOf = (period) => period.id.split(":")[0];

function choices() {
  if (!state.board) return null;
  const periods = state.board.periods.map((span) => [span, spanName(span)]);
  const bar = make("div", { class: "bar" }, tabs(_("Period"), "period", periods, state.period, choosePeriod));
  if (state.viewer) {
    const who = [["everybody", _("Everybody")], ["friends", _("Friends")], ["around", _("Around me")]];
    bar.append(tabs(_("Who"), "who", who, state.who, chooseWho));
  }
  return bar;
}

function closed() {
  if (!state.board || !state.board.closed) return null;
  const time = `${claimed(state.board.closed)}, ${clock(Date.parse(state.board.closed))}`;
  return make("p", { class: "closed" }, _("This board is closed since %(time)s: it takes no scores for now.", { time }));
}

// --- the viewer's own place, above the table -------------------------------------------------------------------------

function ownPlace() {
  const { page } = state;
  const own = page && state.places.find((one) => one.board === page.board && one.period.id === page.period.id);
  if (!own) return null;
  const board = boardOf(page);
  const waits = own.pending ? [_("%(score)s waits to be looked at", { score: score(own.pending.score, board) })] : [];
  if (own.rank === null) {
    if (!state.synced) return null; // nobody knows yet
    if (!waits.length) waits.push(isLasting(page.period) ? _("You are not on this board yet.") : _("You have no score in this period yet."));
    return make("p", { class: "own" }, waits[0]);
  }
  const facts = [];
  if (own.better_than === 1) facts.push(_("better than all others"));
  else if (own.better_than >= 0.01) facts.push(_("better than %(share)s of the others", { share: percent(own.better_than) }));
  if (own.next) {
    const missing = { missing: score(own.next.missing, board), place: place(own.next.rank, false) };
    facts.push(board.order === "more" ? _("%(missing)s more for place %(place)s", missing) : _("%(missing)s less for place %(place)s", missing));
  }
  if (own.state === "hidden" || own.state === "removed") facts.push(_("seen by you alone"));
  return make("div", { class: "own", role: "group", "aria-label": _("Your place") },
    make("b", { class: "big" }, place(own.rank, own.tied)),
    make("span", {}, make("b", {}, _n("of %(n)s player", "of %(n)s players", own.total)), " ",
      make("span", { class: "facts" }, [...facts, ...waits].join(" \u00b7 "))),
    make("b", { class: "num" }, score(own.score, board)));
}

// Their own decision, on all boards: the page where it is changed is a tab away.
function hiddenByMe() {
  const { page } = state;
  if (!page || !state.places.some((one) => one.board === page.board && one.state === "withdrawn")) return null;
  return make("div", { class: "own by-me" }, make("span", {}, _("You have hidden yourself. Others do not see you here.")),
    make("button", { type: "button", class: "button", "data-key": "show", onclick: () => openPage("?to=privacy") }, _("Show me again")));
}

// Whose page it is that the gadget stands on, where that is somebody else.
function ownersPlace() {
  const { page, owner } = state;
  const their = page && owner && state.ownersPlaces.find((one) => one.board === page.board && one.period.id === page.period.id);
  if (!their) return null;
  const name = make("bdi", { class: "name" }, owner.name);
  const rest = their.rank === null ? _("not on this board yet") : _n("of %(n)s player", "of %(n)s players", their.total);
  return make("div", { class: "own owner", role: "group", "aria-label": _("Place of %(name)s", { name: isolated(owner.name) }) },
    face(owner), make("b", { class: "big" }, place(their.rank, their.tied)), make("span", {}, name, " ", make("span", { class: "facts" }, rest)),
    make("b", { class: "num" }, their.score === null ? "" : score(their.score, boardOf(page))));
}

// A page outlives for a moment the choice of another board; what is in it is written by its own.
const boardOf = (page) => state.boards.find((board) => board.id === page.board);
const isChosen = (page) => page.board === state.board.id && (state.cursor !== null || spanOf(page.period) === state.period);

const isLasting = (period) => spanOf(period) === "all";

// --- the table -------------------------------------------------------------------------------------------------------

function empty() {
  if (!state.board) return _("There are no boards yet.");
  if (!state.page) return _("Loading the leaderboard...");
  if (state.who === "friends") return _("Neither you nor your friends are on this board yet.");
  return isLasting(state.page.period)
    ? _("Nobody is on this board yet. Be the first.")
    : _("Nobody has a score in this period yet. Be the first.");
}

function table() {
  const page = state.page;
  if (!page || page.entries.length === 0) return make("p", { class: "empty" }, empty());
  const alone = state.who === "friends" && page.friends === 1 && page.entries[0].me;
  return make("div", { class: "board" },
    make("table", { "aria-busy": String(state.loading || !isChosen(page)) },
      make("caption", {}, captionOf(page)),
      make("thead", {}, make("tr", {},
        make("th", { scope: "col" }, _("Place")), make("th", { scope: "col" }, _("Player")),
        make("th", { scope: "col", class: "num" }, _("Score")))),
      make("tbody", {}, ...page.entries.map(row))),
    alone ? make("p", { class: "empty" }, _("None of your friends is on this board yet.")) : null);
}

function captionOf(page) {
  const total = page.friends === null
    ? _n("%(n)s player", "%(n)s players", page.total)
    : _n(
      "places among you and your friends, %(among)s of %(n)s player",
      "places among you and your friends, %(among)s of %(n)s players",
      page.total, { among: number(page.friends) },
    );
  return [boardOf(page).title, page.period.title || spanName(spanOf(page.period)), total, timeLeft(page)].filter(Boolean).join(" \u00b7 ");
}

// By the server's clock: the reader's may be wrong.
function timeLeft(page) {
  if (!page.period.ends) return null;
  const leftMs = Date.parse(page.period.ends) - (Date.now() + state.aheadMs);
  return leftMs > 0 ? _("ends in %(time)s", { time: duration(leftMs) }) : _("has ended");
}

function row(entry) {
  const isAmong = entry.friend_rank !== null;
  const hints = isAmong ? [_("%(place)s of all", { place: place(entry.rank, entry.tied) })] : [];
  if (isCanvas && entry.claimed_date) hints.push(_("says %(date)s", { date: claimed(entry.claimed_date) }));
  const board = boardOf(state.page);
  return make("tr", { class: entry.me ? "mine" : null, "aria-current": entry.me ? "true" : null, "data-player": entry.player.id },
    make("td", { class: "rank" }, isAmong ? place(entry.friend_rank, entry.friend_tied) : place(entry.rank, entry.tied)),
    make("td", { class: "who" }, make("span", { class: "player" }, face(entry.player), make("bdi", { class: "name" }, entry.player.name), " ",
      entry.me ? make("span", { class: "you" }, _("(you)")) : null, hints.length ? make("span", { class: "hint" }, hints.join(" \u00b7 ")) : null)),
    make("td", { class: "num" }, score(entry.score, board)));
}

// A picture that cannot be loaded, or whose address is no address of the web, leaves the initials that lie below it.
function face(player) {
  const box = make("span", { class: "face", "aria-hidden": "true" }, initials(player.name));
  if (/^https?:\/\//i.test(player.thumbnail_url)) {
    const image = make("img", { src: player.thumbnail_url, alt: "", width: "28", height: "28", referrerpolicy: "no-referrer" });
    image.addEventListener("error", () => image.remove());
    box.append(image);
  }
  return box;
}

// --- rows that move when the board changes ---------------------------------------------------------------------------

const rows = () => [...view.querySelectorAll("tr[data-player]")];

// Where each row is in its table.
function heights() {
  return new Map(rows().map((element) => [element.dataset.player, element.offsetTop]));
}

function moveFrom(before) {
  if (before.size === 0 || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const element of rows()) {
    const was = before.get(element.dataset.player);
    const moved = was === undefined ? 0 : was - element.offsetTop;
    if (moved) element.animate([{ transform: `translateY(${moved}px)` }, { transform: "none" }], { duration: MOVE_MS, easing: "ease-out" });
  }
}

// Whether somebody is pointing at the table: then nothing may move away under the pointer.
function isPointedAt() {
  return matchMedia("(hover: hover)").matches && view.querySelector(".board:hover") !== null;
}

// --- what can be done, and how fresh it is ---------------------------------------------------------------------------

function actions() {
  const bar = make("div", { class: "bar acts" });
  const button = (key, text, onclick, isPrimary) => make("button", {
    type: "button", class: isPrimary ? "button primary" : "button", "data-key": key, disabled: state.busy, onclick,
  }, text);
  if (canAdd()) {
    const add = button("add", actionText, () => addOne(state.board), true);
    add.disabled = state.busy || !state.synced;
    bar.append(add);
  }
  const page = isCanvas && state.page && isChosen(state.page) ? state.page : {};
  if (page.previous) bar.append(button("previous", _("Better places"), () => turn(page.previous)));
  if (page.next) bar.append(button("next", _("Further places"), () => turn(page.next)));
  if (state.viewer) bar.append(button("open", _("Open my page"), () => openPage()));
  return bar.childElementCount ? bar : null;
}

function drawPulse() {
  const texts = [];
  if (state.page) {
    if (state.live === "on") texts.push(_("Live"));
    else texts.push(_("Read at %(time)s", { time: clock(Date.parse(state.page.as_of)) }));
  }
  const ageMs = state.syncedAt === null ? 0 : Date.now() + state.aheadMs - Date.parse(state.syncedAt);
  if (ageMs > STALE_MS) texts.push(_("your scores were read %(ago)s", { ago: ago(ageMs) }));
  pulse.className = `pulse ${state.live}`;
  pulse.replaceChildren(texts.join(" \u00b7 "));
}

// The page of a board, kept live: the server says only that the list has changed, and the page is asked for again.
//
// Rows move calmly, and never while the pointer or the focus is in the list: then what is new waits. The stream is closed
// while nobody looks at the tab: a browser opens few connections to one host.

import { _, _n } from "./words.js";

const QUIET_MS = 1000; // changes that come together are shown together
const MOVE_MS = 160;
const OFTEN_MS = 2000;
const SELDOM_MS = 60000;
const PAUSED = "board-paused";

const list = document.getElementById("list");
const beside = document.getElementById("beside");
const bar = document.getElementById("live");
const state = document.getElementById("live-state");
const pause = document.getElementById("live-pause");
const news = document.getElementById("news");
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
const hovers = window.matchMedia("(hover: hover)");

function rows(root) {
  return [...root.querySelectorAll("#rows > tr")];
}

function text(root, selector) {
  return root.querySelector(selector)?.textContent.trim() ?? "";
}

// What people read of a row: its place and its score.
function read(row) {
  return `${text(row, ".rank")} ${text(row, "td:last-child")}`;
}

class LiveBoard {
  constructor() {
    this.stream = null;
    this.timer = null;
    this.retry = null;
    this.retryMs = OFTEN_MS;
    this.waitMs = QUIET_MS;
    this.asking = false;
    this.again = false;
    this.next = null; // a document that waits until the reader leaves the list
    this.paused = sessionStorage.getItem(PAUSED) === "true";
    document.addEventListener("visibilitychange", () => this.look());
    window.addEventListener("online", () => this.look());
    window.addEventListener("pageshow", (event) => event.persisted && this.look());
    window.addEventListener("pagehide", () => this.close());
    list.addEventListener("pointerleave", () => this.show());
    list.addEventListener("focusout", () => setTimeout(() => this.show(), 0));
    pause.addEventListener("click", () => this.toggle());
    bar.hidden = false;
    this.look();
  }

  toggle() {
    this.paused = !this.paused;
    sessionStorage.setItem(PAUSED, String(this.paused));
    this.next = null;
    this.look();
  }

  look() {
    pause.setAttribute("aria-pressed", String(this.paused));
    if (document.hidden || this.paused) {
      this.close();
      this.say();
      return;
    }
    this.open();
  }

  say() {
    if (this.paused) state.textContent = _("Live updates are paused.");
    else if (this.next !== null) state.textContent = _("There is news: it is shown when you leave the list.");
    else if (this.stream === null || this.stream.readyState !== EventSource.OPEN) state.textContent = "";
    else state.textContent = _("Live");
  }

  // --- the stream --------------------------------------------------------------------------------------------------

  open() {
    if (this.stream !== null) return;
    const stream = new EventSource(list.dataset.events);
    this.stream = stream;
    stream.addEventListener("open", () => {
      this.retryMs = OFTEN_MS;
      this.say();
    });
    stream.addEventListener("changed", () => this.soon());
    // A broken line is mended by the browser itself; a refusal is not.
    stream.addEventListener("error", () => {
      if (this.stream !== stream) return;
      this.say();
      if (stream.readyState !== EventSource.CLOSED) return;
      this.stream = null;
      this.retryMs = Math.min(this.retryMs * 2, SELDOM_MS);
      this.retry = setTimeout(() => this.look(), this.retryMs);
    });
  }

  close() {
    this.stream?.close();
    this.stream = null;
    clearTimeout(this.timer);
    clearTimeout(this.retry);
    this.timer = null;
  }

  // --- what is new --------------------------------------------------------------------------------------------------

  soon() {
    if (this.timer !== null) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.refresh();
    }, this.waitMs * (1 + Math.random())); // not everybody asks at the same moment
  }

  async refresh() {
    if (this.asking) {
      this.again = true;
      return;
    }
    this.asking = true;
    try {
      const response = await fetch(window.location.href, { headers: { Accept: "text/html" }, cache: "no-cache" });
      if (response.status === 429 || response.status >= 500) throw new Error(String(response.status));
      this.waitMs = QUIET_MS;
      if (!response.ok) return;
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      if (this.paused || page.getElementById("list") === null) return;
      this.next = page;
      this.show();
    } catch {
      this.again = true;
      this.waitMs = Math.min(this.waitMs * 2, SELDOM_MS);
    } finally {
      this.asking = false;
    }
    if (this.again && this.stream !== null) {
      this.again = false;
      this.soon();
    }
  }

  isHeld() {
    return (hovers.matches && list.matches(":hover")) || list.contains(document.activeElement);
  }

  show() {
    if (this.next !== null && !this.isHeld()) {
      const page = this.next;
      this.next = null;
      this.take(page);
    }
    this.say();
  }

  take(page) {
    const fresh = page.getElementById("list");
    const before = new Map(rows(list).map((row) => [row.dataset.player, row]));
    const tops = new Map([...before].map(([player, row]) => [player, row.getBoundingClientRect().top]));
    const place = text(beside, ".big");
    let changed = 0;
    for (const row of rows(fresh)) {
      const old = before.get(row.dataset.player);
      if (old === undefined || read(old) !== read(row)) changed += 1;
      if (old?.isEqualNode(row)) row.replaceWith(old); // its picture is loaded already
    }
    list.replaceChildren(...fresh.childNodes);
    list.dataset.events = fresh.dataset.events;
    this.takeBeside(page.getElementById("beside"));
    if (!calm.matches) for (const row of rows(list)) move(row, tops.get(row.dataset.player));
    this.tell(changed, place, text(beside, ".big"));
  }

  takeBeside(fresh) {
    if (fresh === null || beside.contains(document.activeElement)) return;
    const open = [...beside.querySelectorAll("details")].map((each) => each.open);
    beside.replaceChildren(...fresh.childNodes);
    beside.querySelectorAll("details").forEach((each, index) => {
      each.open = open[index] ?? false;
    });
  }

  tell(changed, before, now) {
    const parts = [];
    if (changed > 0) parts.push(_n("One place on this page has changed.", "%(n)s places on this page have changed.", changed));
    if (now !== before && /[0-9]/.test(now)) parts.push(_("You are now on place %(place)s.", { place: now }));
    if (parts.length > 0) news.textContent = parts.join(" ");
  }
}

// From where the row was to where it is; one that is new comes in from nothing.
function move(row, was) {
  const options = { duration: MOVE_MS, easing: "ease-out" };
  if (was === undefined) {
    row.animate([{ opacity: 0 }, { opacity: 1 }], options);
    return;
  }
  const by = was - row.getBoundingClientRect().top;
  if (Math.abs(by) >= 1) row.animate([{ transform: `translateY(${by}px)` }, { transform: "none" }], options);
}

if (list !== null && "EventSource" in window) new LiveBoard();

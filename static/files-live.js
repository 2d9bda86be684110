// The list of uploads, kept live: the server pushes what changes, and the page itself is asked for what looks different.
// The stream is closed while nobody looks at the tab: a browser opens few connections to one host.

import { _, percent } from "./words.js";

const OFTEN_MS = 1000;
const SELDOM_MS = 15000;

export class LiveList {
  // `say` speaks to those who cannot see, `tell` to everybody; `signedOut` is called when the session is over.
  // `giveUp` gets the id of an upload, and says whether this page was sending it and has stopped.
  constructor({ say, tell, signedOut, giveUp }) {
    this.say = say;
    this.tell = tell;
    this.signedOut = signedOut;
    this.giveUp = giveUp;
    this.stream = null;
    this.timer = null;
    this.waitMs = OFTEN_MS;
    this.refreshing = null;
    this.again = false;
    document.addEventListener("visibilitychange", () => this.look());
    window.addEventListener("online", () => this.look());
    // Coming back by the browser's "back" is when something may have changed.
    window.addEventListener("pageshow", (event) => event.persisted && this.look());
    window.addEventListener("pagehide", () => this.close());
    document.addEventListener("submit", (event) => this.press(event));
    this.open();
  }

  look() {
    if (document.hidden) {
      this.close();
      return;
    }
    this.open();
    this.refresh();
  }

  // --- the stream --------------------------------------------------------------------------------------------------

  open() {
    if (this.stream !== null || document.hidden) return;
    const stream = new EventSource("/files/events");
    this.stream = stream;
    stream.addEventListener("upload", (event) => this.take(JSON.parse(event.data)));
    stream.addEventListener("open", () => {
      this.waitMs = OFTEN_MS;
    });
    // A broken line is mended by the browser itself; a refusal is not: then the page is asked now and again.
    stream.addEventListener("error", () => {
      if (stream.readyState !== EventSource.CLOSED || this.stream !== stream) return;
      this.stream = null;
      this.later();
    });
  }

  close() {
    this.stream?.close();
    this.stream = null;
    clearTimeout(this.timer);
    this.timer = null;
  }

  later() {
    if (this.timer !== null || document.hidden) return;
    this.waitMs = Math.min(this.waitMs * 2, SELDOM_MS);
    this.timer = setTimeout(() => {
      this.timer = null;
      this.look();
    }, this.waitMs);
  }

  // Figures are written into the row; whatever else has changed is drawn by the server. What is "from you" is on the
  // server's disk: what has left the browser is more, and shown by Uppy.
  take(upload) {
    const row = document.getElementById(`upload-${upload.id}`);
    if (row === null || row.dataset.state !== upload.state || row.dataset.line !== upload.line) {
      this.refresh();
      return;
    }
    // What is out again has come, whether or not the disk has said so yet.
    this.figures(row, "from", Math.max(upload.received_bytes, upload.sent_bytes), upload.size_bytes);
    this.figures(row, "to", upload.sent_bytes, upload.size_bytes);
  }

  figures(row, leg, bytes, size) {
    const bar = row.querySelector(`progress.${leg}`);
    if (bar === null || size <= 0) return;
    bar.max = size;
    bar.value = Math.min(bytes, size);
    row.querySelector(`.${leg} .amount`).textContent = percent(Math.floor((100 * bar.value) / size));
  }

  // --- what the owner says ------------------------------------------------------------------------------------------

  // Leaving the page for an answer would cut off what it sends.
  async press(event) {
    const form = event.target;
    if (form.closest("#uploads") === null) return;
    event.preventDefault();
    form.querySelector(":focus")?.blur();
    const cancelled = /\/files\/([\w-]+)\/cancel$/.exec(form.action);
    if (cancelled && this.giveUp(cancelled[1])) return;
    let trouble;
    try {
      const answer = await fetch(form.action, {
        method: "POST",
        headers: { Accept: "application/json" },
        body: new URLSearchParams(new FormData(form)),
      });
      if (answer.status === 401) {
        this.signedOut();
        return;
      }
      const said = await answer.json();
      trouble = answer.ok ? (said.still ?? "") : said.detail;
    } catch {
      trouble = _("The line to this site is broken. Try again when you are online.");
    }
    this.tell(trouble, true);
    this.refresh();
  }

  // --- the list ----------------------------------------------------------------------------------------------------

  // One request at a time; whoever asks meanwhile gets another one after it.
  refresh() {
    if (this.refreshing !== null) {
      this.again = true;
      return this.refreshing;
    }
    this.refreshing = this.fetchList().finally(() => {
      this.refreshing = null;
      if (!this.again) return;
      this.again = false;
      this.refresh();
    });
    return this.refreshing;
  }

  async fetchList() {
    try {
      const answer = await fetch("/files", { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.redirected || answer.status === 401) {
        this.signedOut();
        return;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      this.show(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      this.later();
    }
  }

  show(page) {
    const here = document.getElementById("uploads");
    const fresh = page.getElementById("uploads");
    // While somebody types a name, the list stays as it is.
    if (fresh === null || here.querySelector("input:focus") !== null) return;
    const focused = here.contains(document.activeElement) ? document.activeElement.id : "";
    const before = this.states(here);
    here.replaceWith(fresh);
    if (focused) (document.getElementById(focused) ?? document.getElementById("now"))?.focus();
    for (const [id, { name, state }] of this.states(fresh)) {
      if (before.has(id) && before.get(id).state !== state) this.say(`${name}: ${state}`);
    }
  }

  states(list) {
    const rows = [...list.querySelectorAll("[data-upload]")];
    return new Map(
      rows.map((row) => [
        row.dataset.upload,
        { name: row.querySelector(".name").textContent, state: row.querySelector(".chip").textContent },
      ]),
    );
  }
}

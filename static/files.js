// Makes the files page live: progress while a file travels, and the list refreshed while something moves.
// Without it the page is a plain form and a "Refresh" link.
"use strict";

(() => {
  const form = document.getElementById("upload");
  const input = document.getElementById("file");
  const transfers = document.getElementById("transfers");
  const status = document.getElementById("status");
  const maxBytes = Number(form.dataset.maxBytes);
  const POLL_MS = 1000;
  const SLOWEST_POLL_MS = 15000;

  let travelling = 0;
  let portal = null;
  let pollMs = POLL_MS;
  let timer = null;

  document.documentElement.classList.add("scripted");
  input.multiple = true;

  function say(text) {
    status.textContent = text;
  }

  function make(tag, className, text) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  // --- what the server knows ---------------------------------------------------------------------------------------

  // The page itself is the source: its list replaces ours when it has changed, and the focus stays where it was.
  async function refresh() {
    clearTimeout(timer);
    timer = null;
    try {
      const answer = await fetch("/files", { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.redirected || answer.status === 401) {
        location.reload();
        return;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      show(new DOMParser().parseFromString(await answer.text(), "text/html"));
      pollMs = POLL_MS;
    } catch {
      pollMs = Math.min(pollMs * 2, SLOWEST_POLL_MS);
    }
    schedule();
  }

  function show(page) {
    const here = document.getElementById("uploads");
    const fresh = page.getElementById("uploads");
    if (!fresh || fresh.innerHTML === here.dataset.shown) return;
    const focused = document.activeElement && here.contains(document.activeElement) ? document.activeElement.id : "";
    const before = states(here);
    const source = fresh.innerHTML;
    here.replaceWith(fresh);
    fresh.dataset.shown = source;
    if (focused) (document.getElementById(focused) || input).focus();
    for (const [name, state] of states(fresh)) {
      if (before.has(name) && before.get(name) !== state) say(`${name}: ${state}`);
    }
    hideOwn();
  }

  function states(list) {
    const found = new Map();
    for (const row of list.querySelectorAll(".file, tbody tr")) {
      found.set(row.querySelector(".name").textContent, row.querySelector(".chip").textContent);
    }
    return found;
  }

  // A file that this page is sending has a row of its own above, with the better figures.
  function hideOwn() {
    for (const row of document.querySelectorAll("#uploads [data-receiving]")) row.hidden = travelling > 0;
  }

  function schedule() {
    const moving = document.querySelector("#uploads [data-moving]");
    if (timer === null && (moving || pollMs > POLL_MS)) timer = setTimeout(refresh, pollMs);
  }

  // --- files on their way from here --------------------------------------------------------------------------------

  function amount(bytes) {
    const units = ["bytes", "KB", "MB", "GB"];
    let unit = 0;
    while (bytes >= 999.5 && unit < 3) {
      bytes /= 1000;
      unit += 1;
    }
    return `${bytes.toFixed(unit === 0 || bytes >= 9.95 ? 0 : 1)} ${units[unit]}`;
  }

  function send(file) {
    const row = make("article", "file");
    const what = make("div", "what");
    const name = make("b", "name");
    name.append(make("bdi", "", file.name));
    const line = make("small", "", `${amount(file.size)} · waiting`);
    what.append(name, line);
    const chip = make("span", "chip", "sending");
    const bar = make("progress");
    bar.max = file.size || 1;
    bar.value = 0;
    bar.setAttribute("aria-label", `From you: ${file.name}`);
    const legs = make("div", "legs");
    legs.append(bar);
    const actions = make("div", "actions");
    const stop = make("button", "button", "Cancel");
    stop.type = "button";
    stop.setAttribute("aria-label", `Cancel ${file.name}`);
    actions.append(stop);
    row.append(make("span", "thumb", (file.name.split(".").pop() || "file").slice(0, 4).toUpperCase()), what, chip, legs, actions);
    row.firstChild.setAttribute("aria-hidden", "true");
    transfers.append(row);
    transfers.hidden = false;

    function fail(text, code) {
      legs.remove();
      chip.textContent = "not sent";
      chip.className = "chip bad";
      line.textContent = text;
      if (code) line.append(" ", make("small", "code", `(${code})`));
      stop.textContent = "Close";
      stop.setAttribute("aria-label", `Close ${file.name}`);
      stop.onclick = () => remove();
      say(`${file.name}: ${text}`);
    }

    function remove() {
      row.remove();
      transfers.hidden = transfers.childElementCount === 0;
    }

    stop.onclick = () => remove();
    if (file.size > maxBytes) {
      fail(`A file may have ${amount(maxBytes)}; this one has ${amount(file.size)}.`, "too_large");
      return;
    }
    if (file.size === 0) {
      fail("The file is empty.", "bad_input");
      return;
    }

    const request = new XMLHttpRequest();
    const body = new FormData();
    body.append("file", file, file.name);
    request.open("POST", "/files");
    request.setRequestHeader("Accept", "application/json");
    request.responseType = "json";
    request.upload.onprogress = (event) => {
      bar.value = Math.min(event.loaded, file.size);
      line.textContent = `${amount(file.size)} · ${Math.min(100, Math.floor((100 * event.loaded) / event.total))} % from you`;
    };
    request.upload.onload = () => {
      bar.removeAttribute("value");
      line.textContent = `${amount(file.size)} · on its way to Mes Données`;
    };
    request.onload = () => {
      const answer = request.response || {};
      if (request.status === 201) {
        if (answer.code === "MD804" && answer.portal_url) portal = answer.portal_url;
        say(`${file.name}: ${answer.state}`);
        remove();
      } else if (request.status === 401) {
        location.reload();
        return;
      } else {
        fail(answer.detail || "The server gave no readable answer.", answer.storage_code || answer.code);
      }
      ended();
    };
    request.onerror = () => {
      fail("The connection was lost. Choose the file again when you are online.");
      ended();
    };
    request.onabort = () => {
      remove();
      say(`${file.name}: cancelled`);
      ended();
    };
    stop.onclick = () => request.abort();
    travelling += 1;
    say(`Sending ${file.name}`);
    request.send(body);
    if (timer === null) timer = setTimeout(refresh, POLL_MS);
  }

  // Orange's portal opens by itself only once nothing is on its way from here any more.
  function ended() {
    travelling -= 1;
    if (travelling === 0 && portal !== null) {
      const address = portal;
      portal = null;
      location.assign(address);
      return;
    }
    refresh();
  }

  // --- choosing and dropping ---------------------------------------------------------------------------------------

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    for (const file of [...input.files]) send(file);
    form.reset();
  });

  for (const kind of ["dragenter", "dragover"]) {
    form.addEventListener(kind, (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      form.classList.add("over");
    });
  }
  for (const kind of ["dragleave", "drop"]) form.addEventListener(kind, () => form.classList.remove("over"));
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    for (const file of event.dataTransfer.files) send(file);
  });
  window.addEventListener("beforeunload", (event) => {
    if (travelling > 0) event.preventDefault();
  });

  // Coming back from the portal's tab, or by the browser's "back", is when something may have changed.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) refresh();
  });
  schedule();
})();

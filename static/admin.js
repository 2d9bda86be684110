// Makes the operators' pages handier. Everything works without it.

// Of the forms that open below buttons, one at a time; the reason is ready to be typed, and Escape closes it.
document.addEventListener("toggle", (event) => {
  const opened = event.target;
  if (!(opened instanceof HTMLDetailsElement) || !opened.matches(".act") || !opened.open) return;
  for (const other of document.querySelectorAll(".act[open]")) {
    if (other !== opened) other.open = false;
  }
  opened.querySelector("input:not([type=hidden]), select, textarea")?.focus();
}, true);

document.addEventListener("keydown", (event) => {
  const opened = event.key === "Escape" && event.target.closest?.(".act[open]");
  if (!opened) return;
  opened.open = false;
  opened.querySelector("summary").focus();
});

// A form that was sent is not sent twice by a second click.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  const [button] = event.target.querySelectorAll("button:not([type=button])");
  setTimeout(() => { if (button) button.disabled = true; });
});
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("form[method=post] button[disabled]")) button.disabled = false;
});

// What goes on in the background is asked for again, part of the page only, until it says that it is over.
const going = document.querySelector("[data-refresh]");
if (going) {
  const look = async () => {
    if (document.hidden) return setTimeout(look, 1000);
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.status === 429 || answer.status >= 500) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const now = page.querySelector("#" + going.id);
      if (!now) return location.reload();
      going.replaceChildren(...now.childNodes);
      if (now.hasAttribute("data-refresh")) setTimeout(look, Number(going.dataset.refresh) * 1000);
    } catch {
      setTimeout(look, 5000); // the server was away for a moment
    }
  };
  setTimeout(look, Number(going.dataset.refresh) * 1000);
}

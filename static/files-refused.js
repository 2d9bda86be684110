// Files that were refused before a byte travelled. The page still holds them: nobody has to choose one again.

import { _, amount } from "./words.js";

// Nothing that the owner does here would change these.
const FINAL = ["too_large", "bad_input"];

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function button(label, name, act, primary = false) {
  const made = make("button", primary ? "button primary" : "button", label);
  made.type = "button";
  made.setAttribute("aria-label", `${label}: ${name}`);
  made.addEventListener("click", act);
  return made;
}

export class Refusals {
  constructor({ say, resend }) {
    this.say = say;
    this.resend = resend;
    this.place = document.getElementById("refused");
  }

  get isEmpty() {
    return this.place.querySelector(".file") === null;
  }

  add(file, problem) {
    const code = problem.storage_code ?? problem.code;
    const row = make("article", "file");
    const thumb = make("span", "thumb", (file.name.includes(".") ? file.name.split(".").pop() : _("file")).slice(0, 4).toUpperCase());
    thumb.setAttribute("aria-hidden", "true");
    const what = make("div", "what");
    const name = make("b", "name");
    name.append(make("bdi", "", file.name));
    const line = make("small", "", `${amount(file.data.size)} · ${problem.detail} `);
    line.append(make("small", "code", `(${code})`));
    what.append(name, line);
    const actions = make("div", "actions");
    row.append(thumb, what, make("span", "chip bad", code === "MD327" ? _("no space") : _("not accepted")), actions);

    const again = (changes = {}) => {
      if (this.resend({ ...file, ...changes })) this.remove(row);
    };
    if (code === "PA003" || problem.field === "content_name") {
      actions.append(this.renaming(file, again));
    } else if (code === "MD327") {
      if (problem.portal_url) actions.append(this.portal(problem.portal_url));
      actions.append(button(_("I have made room, send now"), file.name, () => again(), !problem.portal_url));
    } else if (!FINAL.includes(code)) {
      actions.append(button(_("Try again"), file.name, () => again()));
    }
    actions.append(button(_("Remove"), file.name, () => this.remove(row)));
    this.place.querySelector("section").append(row);
    this.place.hidden = false;
    this.say(`${file.name}: ${problem.detail}`);
  }

  renaming(file, again) {
    const form = make("form", "rename");
    const field = make("input", "field");
    field.value = file.name;
    field.required = true;
    field.maxLength = 255;
    field.setAttribute("aria-label", _("Another name for %(name)s", { name: file.name }));
    form.append(field, make("button", "button primary", _("Send under this name")));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      again({ name: field.value });
    });
    return form;
  }

  portal(url) {
    const link = make("a", "button primary portal", _("Make room at Orange"));
    link.href = url;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    return link;
  }

  remove(row) {
    row.remove();
    this.place.hidden = this.isEmpty;
  }
}

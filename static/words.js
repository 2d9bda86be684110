// The words of a page's scripts, in the language of the page: the server puts them into it as a block of data.
// A text that is not there is said as it stands in the code, in English. Holes are named, `%(name)s`; `%%` is a percent sign.

const block = document.getElementById("words");
const { language = "en-GB", ones = [1], marks = {}, texts = {} } = block === null ? {} : JSON.parse(block.textContent);

const filled = (text, holes) => text.replace(/%\((\w+)\)s|%%/g, (found, name) => (name === undefined ? "%" : String(holes[name])));

export { language, ones };

export function _(text, holes = {}) {
  return filled(texts[text]?.[0] ?? text, holes);
}

// Of one or of many, by `n`, which fills `%(n)s`.
export function _n(one, many, n, holes = {}) {
  const forms = texts[one] ?? [one, many];
  return filled(forms[ones.includes(n) ? 0 : 1] ?? many, { n: number(n), ...holes });
}

// Both forms, for Uppy, which chooses by itself and fills in the number.
export function _both(one, many, holes = {}) {
  const forms = texts[one] ?? [one, many];
  return Object.fromEntries(forms.slice(0, 2).map((form, which) => [which, filled(form, { n: "%{smart_count}", ...holes })]));
}

export function number(value) {
  return new Intl.NumberFormat(language).format(value);
}

export function percent(whole) {
  return new Intl.NumberFormat(language, { style: "percent" }).format(whole / 100);
}

// A score's `display`, with this language's marks for thousands and decimals.
export function score(display) {
  return display.replace(/[,.]/g, (mark) => marks[mark] ?? mark);
}

// `812 kB`: three digits at most, powers of 1000, as the pages write it.
export function amount(bytes) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  let unit = 0;
  while (bytes >= 999.5 && unit < 3) {
    bytes /= 1000;
    unit += 1;
  }
  return new Intl.NumberFormat(language, {
    style: "unit",
    unit: units[unit],
    unitDisplay: unit === 0 ? "long" : "short",
    maximumFractionDigits: unit === 0 || bytes >= 9.95 ? 0 : 1,
  }).format(bytes);
}

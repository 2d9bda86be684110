// Words, numbers and times in the reader's language. The server puts the table WORDS before the script's parts: for
// each language what `words.js` reads on a page, which is the texts that it says otherwise, by what stands in the code.

const DEFAULT_LANGUAGE = "en";
let language = DEFAULT_LANGUAGE;

// How the pages write numbers and dates: day, month, year and the 24-hour clock in English too.
const locale = () => WORDS[language].language;

// The container says which language its page is in; one that does not say leaves it to the browser.
function chooseLanguage() {
  const preferences = window.gadgets && gadgets.Prefs ? new gadgets.Prefs() : null;
  const said = String((preferences && preferences.getLang()) || "");
  const known = said !== "" && said.toUpperCase() !== "ALL";
  const asked = known ? [`${said}-${preferences.getCountry()}`, said] : navigator.languages || [];
  const plain = (tag) => tag.toLowerCase().replace("_", "-");
  const stem = (tag) => plain(tag).split("-")[0];
  const offered = Object.keys(WORDS);
  for (const tag of asked) {
    const found = offered.find((one) => plain(one) === plain(tag)) || offered.find((one) => stem(one) === stem(tag));
    if (found) return found;
  }
  return DEFAULT_LANGUAGE;
}

function filled(text, holes) {
  return text.replace(/%(?:%|\((\w+)\)s)/g, (found, name) => (name === undefined ? "%" : String(holes[name])));
}

function _(text, holes = {}) {
  const [said] = WORDS[language].texts[text] || [text];
  return filled(said, holes);
}

// One form for one, another for many; the number fills the hole %(n)s.
function _n(one, many, n, holes = {}) {
  const [ofOne, ofMany] = WORDS[language].texts[one] || [one, many];
  return filled(WORDS[language].ones.includes(n) ? ofOne : ofMany, { n: number(n), ...holes });
}

// A name inside a sentence: what runs from right to left in it does not turn the sentence round.
const isolated = (name) => `\u2068${name}\u2069`;

const listed = (texts) => new Intl.ListFormat(locale(), { type: "conjunction" }).format(texts);

const number = (value) => new Intl.NumberFormat(locale()).format(value);

const SEPARATOR = () => new Intl.NumberFormat(locale()).formatToParts(1.5).find((part) => part.type === "decimal").value;

// Exact decimals travel as texts, and are written as such: a JavaScript number loses 2^53 + 1.
function split(text) {
  const [, sign, whole, part = ""] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  return { sign, whole: BigInt(whole), part };
}

function score(text, board) {
  const { sign, whole, part } = split(text);
  const digits = board.format === "money" ? part.padEnd(2, "0") : part;
  const fraction = digits ? SEPARATOR() + digits : "";
  if (board.format !== "duration") return `${sign}${number(whole)}${fraction}`;
  const two = (value) => String(value).padStart(2, "0");
  const [hours, minutes] = [whole / 3600n, (whole / 60n) % 60n];
  const longer = hours ? `${hours}:${two(minutes)}` : minutes;
  return `${sign}${longer}:${two(whole % 60n)}${fraction}`;
}

// Decimal text plus one, exactly.
function plusOne(text) {
  const { sign, whole, part } = split(text);
  const unit = 10n ** BigInt(part.length);
  const value = BigInt(`${sign}${whole}${part}`) + unit;
  const digits = (value < 0n ? -value : value).toString().padStart(part.length + 1, "0");
  const at = digits.length - part.length;
  return `${value < 0n ? "-" : ""}${digits.slice(0, at)}${part ? `.${digits.slice(at)}` : ""}`;
}

// Rounded down, so that nobody is better than all others who is not; 0.29 * 100 is a little less than 29.
const percent = (share) =>
  new Intl.NumberFormat(locale(), { style: "percent" }).format(Math.floor(share * 100 + 1e-9) / 100);

const place = (rank, tied) => (rank === null ? "\u2013" : `${tied ? "=" : ""}${number(rank)}`);

// A span of time in its two largest units; less than a minute is a minute.
function duration(spanMs) {
  const minutes = Math.max(1, Math.floor(spanMs / 60000));
  const units = [[Math.floor(minutes / 1440), "day"], [Math.floor(minutes / 60) % 24, "hour"], [minutes % 60, "minute"]];
  while (units.length > 1 && units[0][0] === 0) units.shift();
  const written = units.slice(0, 2).filter(([count]) => count).map(([count, unit]) =>
    new Intl.NumberFormat(locale(), { style: "unit", unit, unitDisplay: "long" }).format(count));
  return written.join(" ");
}

function ago(spanMs) {
  const minutes = Math.floor(spanMs / 60000);
  const relative = new Intl.RelativeTimeFormat(locale());
  if (minutes < 60) return relative.format(-minutes, "minute");
  if (minutes < 1440) return relative.format(-Math.floor(minutes / 60), "hour");
  return relative.format(-Math.floor(minutes / 1440), "day");
}

const clock = (ms) => new Intl.DateTimeFormat(locale(), { timeStyle: "short" }).format(ms);

// A date that a player claims; without a zone of its own it is written as they wrote it, whatever zone the reader is in.
function claimed(text) {
  const zoned = /(Z|[+-]\d\d:?\d\d)$/.test(text) && text.includes("T");
  const at = Date.parse(zoned ? text : `${text.length > 10 ? text : `${text}T00:00:00`}Z`);
  if (Number.isNaN(at)) return text;
  return new Intl.DateTimeFormat(locale(), { dateStyle: "medium", ...(zoned ? {} : { timeZone: "UTC" }) }).format(at);
}

// The first letters of the first and last words of a name, for where there is no picture. An emoji is one letter.
function initials(name) {
  const words = name.split(/\s+/).filter((word) => /^[\p{L}\p{N}\p{Extended_Pictographic}\p{RI}]/u.test(word));
  const parts = (word) => (Intl.Segmenter ? [...new Intl.Segmenter(locale()).segment(word)].map((one) => one.segment) : [...word]);
  const ends = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return ends.map((word) => parts(word)[0].toUpperCase()).join("") || "?";
}

// In place of @transloadit/prettier-bytes: three digits at most and powers of 1000, in the page's language, as everywhere
// on our pages.
export function prettierBytes(bytes) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  let unit = 0;
  while (bytes >= 999.5 && unit < 3) {
    bytes /= 1000;
    unit += 1;
  }
  return new Intl.NumberFormat(document.documentElement.lang || "en", {
    style: "unit",
    unit: units[unit],
    unitDisplay: unit === 0 ? "long" : "short",
    maximumFractionDigits: unit === 0 || bytes >= 9.95 ? 0 : 1,
  }).format(bytes);
}

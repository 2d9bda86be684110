// In place of @transloadit/prettier-bytes: three digits at most and powers of 1000, as everywhere on our pages.
export function prettierBytes(bytes) {
  const units = ["bytes", "KB", "MB", "GB"];
  let unit = 0;
  while (bytes >= 999.5 && unit < 3) {
    bytes /= 1000;
    unit += 1;
  }
  return `${bytes.toFixed(unit === 0 || bytes >= 9.95 ? 0 : 1)} ${units[unit]}`;
}

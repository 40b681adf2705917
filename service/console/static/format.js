/** Numbers, times and names as they are shown. */

const DAY = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short" });
const MINUTE = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "short" });
const SECOND = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium" });
const COUNT = new Intl.NumberFormat("en");

/** 1,284 */
export const count = (number) => COUNT.format(number);

/** 1 image, 3 images */
export const counted = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

/** A moment in this machine's time zone, to the minute; a dash for none. */
export const moment = (text) => (text ? MINUTE.format(new Date(text)) : "–");

/** A moment to the second. */
export const exactMoment = (text) => (text ? SECOND.format(new Date(text)) : "–");

/** A day. */
export const day = (text) => DAY.format(new Date(text));

/** A similarity with three digits. */
export const similarity = (number) => number.toFixed(3);

/** Milliseconds, or seconds where there are many. */
export const milliseconds = (ms) => (ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${ms >= 10 ? Math.round(ms) : ms.toFixed(1)} ms`);

/** Bytes with a unit. */
export function bytes(number) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let power = 0;
  while (number >= 1000 && power < units.length - 1) { number /= 1000; power += 1; }
  return `${power && number < 10 ? number.toFixed(1) : Math.round(number)} ${units[power]}`;
}

/** An age in s, in words. */
export function age(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

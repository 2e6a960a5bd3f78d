// Words, numbers and times in the page's language. The words come with the page, so it is never half translated.
const WORDS = JSON.parse(document.getElementById("words").textContent);
export const LANGUAGE = document.documentElement.lang;

/** The text of a key; {name} is replaced by values.name. */
export function t(key, values = {}) {
  const text = WORDS[key];
  if (text === undefined) throw new Error(`no text for ${key}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** The text of a key, or of another where there is none: kinds may be newer than the page. */
export function tOr(key, other, values = {}) {
  return t(key in WORDS ? key : other, values);
}

/** The browser's own kind of the page's language: 27 Nov and Nov 27 are both English. */
function locale() {
  const own = navigator.languages.find((name) => name.split("-")[0] === LANGUAGE);
  try {
    return Intl.getCanonicalLocales(own || LANGUAGE)[0];
  } catch {
    return "en";
  }
}

const LOCALE = locale();

export function number(value, digits = 0) {
  return new Intl.NumberFormat(LOCALE, { maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);
}

/** 0…1 as per cent. */
export function percent(share, digits = 0) {
  const format = { style: "percent", maximumFractionDigits: digits, minimumFractionDigits: digits };
  return new Intl.NumberFormat(LOCALE, format).format(share);
}

/** Would it read 0% or 100%, and is neither? */
const rounded = (share, digits) => share > 0 && share < 1 && [0, 1].includes(Number(share.toFixed(digits + 2)));

/** Two shares with as many digits as show which of them is greater, and that a threshold, the other, is not 0%. */
export function percents(one, other) {
  for (const digits of [0, 1, 2]) {
    const pair = [percent(one, digits), percent(other, digits)];
    if ((pair[0] !== pair[1] || one === other) && !rounded(other, digits)) return pair;
  }
  return [percent(one, 3), percent(other, 3)];
}

export function bytes(count) {
  return count >= 1e9 ? `${number(count / 1e9, count < 1e10 ? 1 : 0)} GB` : `${number(count / 1e6)} MB`;
}

/** Date and time of day here. */
export function moment(date) {
  return new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" }).format(date);
}

/** The date alone. */
export function day(date) {
  return new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium" }).format(date);
}

export function timeOfDay(date, timeStyle = "short") {
  return new Intl.DateTimeFormat(LOCALE, { timeStyle, hourCycle: "h23" }).format(date);
}

const UNITS = [[60, "second", 1], [3600, "minute", 60], [86400, "hour", 3600], [Infinity, "day", 86400]];

/** How long ago, in words; milliseconds. */
export function age(ms) {
  const seconds = Math.max(0, ms / 1000);
  const [, unit, length] = UNITS.find(([below]) => seconds < below);
  return new Intl.RelativeTimeFormat(LOCALE).format(-Math.floor(seconds / length), unit);
}

// What every page has: who works here, the status bar, banners until somebody has seen them.
import { ACCOUNT, ask, detail, logOut } from "./api.js";
import { by, el, icon, say } from "./dom.js";
import { age, bytes, number, t, tOr, timeOfDay } from "./words.js";

const EVERY_MS = 3000;
const SHIFT_MS = 12 * 3600 * 1000;
const HOT_C = 85;
const LATE_MS = 3600 * 1000;
const listeners = [];
let heardAt = Date.now();
let status = null;
let shownBanners = "";
let timer = 0;

// ---------------------------------------------------------------- what this browser remembers; never a subject

function remembered(name) {
  const kept = JSON.parse(localStorage.getItem(name) || "null");
  return kept && (name !== "operator" || Math.abs(Date.now() - kept.at) < SHIFT_MS) ? kept.value : "";
}

function remember(name, value) {
  localStorage.setItem(name, JSON.stringify({ value, at: Date.now() }));
}

/** Who works here: whoever is logged in; else the name that was typed. */
export const operator = () => ACCOUNT || remembered("operator");
export const site = () => remembered("site") || status?.site || "";
export const pedalKey = () => remembered("pedal") || " ";
export const keyName = (key) => (key === " " ? t("pedal_space") : key);

/** Called with each new status, or null where the station does not answer. */
export function onStatus(listener) {
  listeners.push(listener);
}

function showPerson() {
  by("person-words").textContent = ACCOUNT ? ACCOUNT : operator() ? t("operator_is", { name: operator() }) : t("operator_unset");
  by("person").classList.toggle("unset", !operator());
  for (const listener of listeners) listener(status);
}

function settings() {
  const dialog = by("settings");
  let key = pedalKey();
  by("person").addEventListener("click", () => {
    if (!ACCOUNT) by("operator").value = operator();
    by("site").value = site();
    key = pedalKey();
    by("pedal").textContent = keyName(key);
    dialog.showModal();
  });
  by("pedal").addEventListener("click", () => {
    by("pedal").textContent = t("pedal_listening");
    dialog.addEventListener("keydown", (event) => {
      event.preventDefault();
      event.stopPropagation();
      if (!["Tab", "Escape", "Shift"].includes(event.key)) key = event.key;
      by("pedal").textContent = keyName(key);
    }, { once: true, capture: true });
  });
  by("settings-form").addEventListener("submit", () => {
    if (!ACCOUNT) remember("operator", by("operator").value.trim());
    remember("site", by("site").value.trim());
    remember("pedal", key);
    showPerson();
  });
  showPerson();
}

// ---------------------------------------------------------------- status bar

function items(now) {
  const { camera, disk, clock, queue, model } = now;
  const free = bytes(disk.free_bytes);
  const busy = queue.under_way >= queue.capacity;
  return [
    camera.state === "none" ? ["camera-off", t("bar_camera_none"), true]
      : ["camera", t(`bar_camera_${camera.state}`), camera.state === "live"],
    ["disk", t(disk.full ? "bar_disk_full" : "bar_disk", { free }), !disk.full],
    ["wait", clock.plausible ? timeOfDay(new Date()) : t("bar_clock_wrong"), clock.plausible],
    ["list", t(busy ? "bar_busy" : "bar_queue", { n: number(queue.under_way) }), !busy],
    now.sending ? sendingItem(now.sending) : null,
    ["chip", model.fault ? t("bar_model_fault") : model.bundle, !model.fault, !model.fault],
    now.temperature_c === null ? null
      : ["warmth", `${number(now.temperature_c)} °C`, now.temperature_c < HOT_C, true],
  ].filter(Boolean);
}

/** What waits to be sent: no alarm while the line is only slow; from an hour on it is one. */
function sendingItem({ waiting, oldest_utc, problem, host }) {
  if (!waiting) return ["send", t("bar_sent"), true];
  const late = problem !== "" && Date.now() - Date.parse(oldest_utc) > LATE_MS;
  return ["send", t(host === "" ? "bar_send_stick" : problem ? "bar_send_later" : "bar_sending", { n: number(waiting) }), !late];
}

function showBar(now) {
  const made = items(now);
  const wrong = made.filter(([, , ok]) => !ok);
  const summary = wrong.length ? wrong[0][1] : now.ready ? t("bar_ready") : t("bar_not_ready");
  by("bar-summary").textContent = summary;
  by("bar-toggle").classList.toggle("attention", wrong.length > 0 || !now.ready);
  by("bar-items").replaceChildren(...made.map(([name, words, ok, data]) =>
    el("li", { class: ok ? "" : "attention" }, icon(ok ? name : "warn"), el("span", { text: words, data }))));
}

function showGone() {
  const gone = by("gone");
  if (gone.hidden) say(t("gone"));
  gone.hidden = false;
  gone.replaceChildren(icon("warn"), el("div", {},
    el("strong", { text: t("gone") }), el("p", { text: t("gone_since", { age: age(Date.now() - heardAt) }) })));
  by("bar-summary").textContent = t("gone");
  by("bar-toggle").classList.add("attention");
  by("bar-items").replaceChildren(el("li", { class: "attention" }, icon("warn"), el("span", { text: t("gone") })));
}

async function look() {
  clearTimeout(timer);
  if (!document.hidden) {
    const { data, problem } = await ask("/api/v1/status", { timer: true, wait_ms: 5000 });
    if (problem?.kind === "log-in") return;  // the page is being left
    status = data || null;
    if (status) {
      heardAt = Date.now();
      by("gone").hidden = true;
      showBar(status);
      await lookForBanners();
    } else {
      showGone();
    }
    for (const listener of listeners) listener(status);
  }
  clearTimeout(timer);
  timer = setTimeout(look, EVERY_MS);
}

// ---------------------------------------------------------------- banners

async function lookForBanners() {
  if (!status.banners && !shownBanners) return;
  const { data } = await ask("/api/v1/banners", { timer: true });
  if (!data) return;
  const numbers = data.banners.map((banner) => banner.number).join();
  if (numbers === shownBanners) return;
  shownBanners = numbers;
  const more = data.banners.length - 1;  // one at a time: the next comes when this one has been seen
  by("banners").replaceChildren(...data.banners.slice(0, 1).map((row) => banner(row, more)));
  by("banners").hidden = !data.banners.length;
  if (data.banners.length) say(t("banners_new", { n: number(data.banners.length) }));
}

function banner(row, more) {
  const kind = row.kind.replaceAll("-", "_");
  const name = ACCOUNT ? null : el("input", { "aria-label": t("banner_by"), placeholder: t("banner_by"), maxlength: 100, required: true });
  if (name) name.value = operator();
  return el("form", { class: "notice warn", on: { submit: (event) => seen(event, row.number, name) } },
    icon("warn"),
    el("div", { class: "grow" },
      el("strong", { text: tOr(`banner_${kind}`, "banner_other") }),
      el("p", { text: tOr(`banner_${kind}_hint`, "banner_other_hint") }),
      detail(row.message),
      more ? el("p", { class: "small", text: t("banners_more", { n: number(more) }) }) : null),
    el("div", { class: "seen" }, name, el("button", { type: "submit", text: t("banner_seen") })));
}

async function seen(event, row, name) {
  event.preventDefault();
  const who = name ? name.value.trim() : ACCOUNT;
  if (!who) return;
  if (!operator()) remember("operator", who);
  showPerson();
  await ask(`/api/v1/banners/${row}/seen`, { method: "POST", json: { by: who } });
  await lookForBanners();
}

// ---------------------------------------------------------------- start

/** Somebody else works here now: no subject of the one before stays in the field. */
function forgetOtherAccount() {
  if (sessionStorage.getItem("account") === ACCOUNT) return;
  sessionStorage.clear();
  sessionStorage.setItem("account", ACCOUNT);
}

export function startShell() {
  forgetOtherAccount();
  settings();
  by("bar-toggle").addEventListener("click", () => {
    const open = by("bar-toggle").getAttribute("aria-expanded") !== "true";
    by("bar-toggle").setAttribute("aria-expanded", String(open));
  });
  by("log-out")?.addEventListener("click", logOut);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    if (status === null) showGone();
    look();
  });
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  look();
}

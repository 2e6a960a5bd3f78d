// The REST service. Every call ends: with data, or with a problem in the page's words.
import { el, icon } from "./dom.js";
import { t, tOr } from "./words.js";

const WAIT_MS = 20000;
/** Who is logged in; empty where nobody has to be. */
export const ACCOUNT = document.body.dataset.account || "";
/** Of requests that nobody caused: they do not keep a session alive. */
export const UNATTENDED = { "X-Unattended": "1" };
let csrf = null;
let touched = true;
let leaving = false;

for (const kind of ["pointerdown", "pointermove", "keydown", "wheel"]) {
  document.addEventListener(kind, () => { touched = true; }, { capture: true, passive: true });
}

/** Ask; { data } or { problem: { kind, title, detail, hint, retry_s } }. `timer`: asked by a timer, not by a person. */
export async function ask(path, { method = "GET", json, body, timer = false, wait_ms = WAIT_MS } = {}) {
  const options = { method, body, cache: "no-store", headers: {} };
  if (json !== undefined) {
    options.body = JSON.stringify(json);
    options.headers["Content-Type"] = "application/json";
  }
  if (timer && !touched) Object.assign(options.headers, UNATTENDED);
  if (timer) touched = false;
  try {
    for (let again = false; ; again = true) {
      if (ACCOUNT && method !== "GET") options.headers["X-CSRF-Token"] = await csrfToken(again);
      const answer = await fetch(path, { ...options, signal: AbortSignal.timeout(wait_ms) });
      const data = await answer.json();
      if (answer.ok) return { data };
      const found = problem(data, answer);
      if (found.kind !== "csrf" || again) return { problem: found };
    }
  } catch {
    return { problem: { kind: "gone", title: t("problem_gone"), hint: t("problem_gone_hint"), detail: "", retry_s: 0 } };
  }
}

/** The session's token; `again`: somebody has logged in since it was asked for, in another tab for one. */
async function csrfToken(again) {
  if (csrf === null || again) {
    const answer = await fetch("/api/v1/me", { cache: "no-store", signal: AbortSignal.timeout(WAIT_MS) });
    const me = await answer.json();
    if (answer.ok && me.name !== ACCOUNT) location.reload();  // this page names somebody else
    csrf = answer.ok && me.name === ACCOUNT ? me.csrf : "";
  }
  return csrf;
}

/** To the log-in; after it, back to this page. */
function logInAgain() {
  if (leaving) return;
  leaving = true;
  const back = encodeURIComponent(`${location.pathname}${location.search}`);
  location.replace(`/login?${ACCOUNT ? "ended=1&" : ""}next=${back}`);
}

/** End the session. What this browser keeps of the person who worked here goes, too. */
export async function logOut() {
  leaving = true;
  sessionStorage.clear();
  await ask("/api/v1/logout", { method: "POST" });
  location.replace("/login");
}

/** A problem's JSON in the page's words; the station's own words stay as the detail. A session that ended: log in. */
export function problem(body, answer = null) {
  const kind = String(body.type || "").split(":").pop() || "unknown";
  if (kind === "log-in") logInAgain();
  const key = kind.replaceAll("-", "_");
  const retry_s = Number(answer?.headers.get("Retry-After") || 0);
  return {
    kind, retry_s, detail: body.detail || "",
    title: tOr(`problem_${key}`, "problem_other"),
    hint: tOr(`problem_${key}_hint`, "problem_other_hint"),
  };
}

/** A problem as a card. */
export function trouble(found) {
  return el("div", { class: "notice bad" },
    icon("warn"),
    el("div", {},
      el("strong", { text: found.title }),
      el("p", { text: found.hint }),
      detail(found.detail)));
}

/** The station's own words, which are English: for the engineer who is called. */
export function detail(words) {
  return words ? el("p", { class: "detail", lang: "en", data: true, text: words }) : null;
}

/** What an image's finding asks for, in the page's words. */
export function advice(finding) {
  const side = finding.value < finding.limit ? "low" : "high";
  return tOr(`check_${finding.check}_${side}`, "check_other");
}

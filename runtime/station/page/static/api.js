// The REST service. Every call ends: with data, or with a problem in the page's words.
import { el, icon } from "./dom.js";
import { t, tOr } from "./words.js";

const WAIT_MS = 20000;

/** Ask; { data } or { problem: { kind, title, detail, hint, retry_s } }. */
export async function ask(path, { method = "GET", json, body, wait_ms = WAIT_MS } = {}) {
  const options = { method, cache: "no-store", signal: AbortSignal.timeout(wait_ms) };
  if (json !== undefined) {
    options.body = JSON.stringify(json);
    options.headers = { "Content-Type": "application/json" };
  } else if (body !== undefined) {
    options.body = body;
  }
  try {
    const answer = await fetch(path, options);
    const data = await answer.json();
    return answer.ok ? { data } : { problem: problem(data, answer) };
  } catch {
    return { problem: { kind: "gone", title: t("problem_gone"), hint: t("problem_gone_hint"), detail: "", retry_s: 0 } };
  }
}

/** A problem's JSON in the page's words; the station's own words stay as the detail. */
export function problem(body, answer = null) {
  const kind = String(body.type || "").split(":").pop() || "unknown";
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

// One result: its own image, what was answered, what to do next, a clinician's word, the slip.
import { advice, ask, trouble } from "./api.js";
import { bar, by, el, icon, say } from "./dom.js";
import { startReview } from "./review.js";
import { onStatus, operator, startShell } from "./shell.js";
import { approvalWords, slip } from "./slip.js";
import { age, moment, number, percent, percents, t } from "./words.js";

const OLD_MS = 5 * 60 * 1000;
const TICK_MS = 1000;
const ID = location.pathname.split("/").pop();
const URL_OF = `/api/v1/results/${ID}`;
let shown = null;
let head = "";

export const keyOf = (result) => result.outcome.replaceAll("-", "_");

/** Score and threshold as a sentence. */
export function scoreWords(result) {
  if (result.outcome === "retake" || result.score === null) return "";
  const near = result.outcome === "uncertain";
  if (result.threshold === null) return t("score_only", { score: percent(result.score, 1) });
  if (result.deciding) {
    const [score, threshold] = percents(result.deciding.probability, result.deciding.threshold);
    return t(near ? "score_class_near" : "score_class", { name: result.deciding.display, score, threshold });
  }
  const [score, threshold] = percents(result.score, result.threshold);
  return t(near ? "score_near" : "score_words", { score, threshold });
}

function outcomeCard(result) {
  const key = keyOf(result);
  const classified = result.outcome === "classified";
  return el("section", { class: `outcome outcome-${result.outcome}` },
    el("span", { class: "badge" }, icon(result.outcome)),
    el("div", {},
      el("h1", { tabindex: "-1", id: "outcome", text: t(`outcome_${key}`) }),
      classified && el("p", { class: "best", data: true, text: result.top[0].display }),
      ...result.findings.map((finding, at) => el("p", { class: at ? "" : "reason", text: advice(finding) })),  // one thing at a time
      el("p", { text: t(`next_${key}`) })));
}

function scoreCard(result) {
  const words = scoreWords(result);
  if (!words) return null;
  const [share, mark] = result.deciding ? [result.deciding.probability, result.deciding.threshold] : [result.score, result.threshold];
  return el("section", { class: "card score" }, el("h2", { text: t("score") }), bar(share, mark), el("p", { text: words }),
    result.approval && el("p", { class: "soft", text: `${t("threshold_whose")}: ${approvalWords(result)}` }));
}

function topCard(result) {
  if (!result.top.length) return null;
  return el("section", { class: "card" }, el("h2", { text: t("top", { n: number(result.top.length) }) }),
    el("ol", { class: "ranks" }, ...result.top.map((each) =>
      el("li", {}, el("span", { data: true, text: each.display }), el("span", { text: percent(each.probability, 1), class: "value" }), bar(each.probability)))));
}

function figure(path, alt, caption) {
  const image = el("img", { src: path, alt, width: 480, height: 480 });
  const made = el("figure", {}, image, caption);
  image.addEventListener("error", () => { image.replaceWith(el("div", { class: "missing" }, icon("image"), el("p", { text: t("image_missing") }))); });
  return made;
}

function imageCard(result) {
  const taken = moment(new Date(result.created_utc));
  const caption = el("figcaption", { text: t("image_caption", { subject: result.subject, time: taken }), data: false });
  if (!result.has_view) {
    return el("section", { class: "card images" }, el("div", { class: "missing" }, icon("image"), el("p", { text: t("image_missing") })));
  }
  const images = el("div", { class: "pair" }, figure(`${URL_OF}/image`, t("image_alt", { subject: result.subject }), caption));
  const coarse = result.outcome !== "retake" && result.no_heatmap && el("p", { class: "soft", text: t("heat_coarse") });
  return el("section", { class: "card images" }, images, result.has_heatmap ? heatButton(images) : coarse);
}

function heatButton(images) {
  const words = el("span", { text: t("heat_show") });
  const button = el("button", { type: "button", id: "heat", "aria-pressed": "false" }, icon("heat"), words);
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    words.textContent = t(on ? "heat_hide" : "heat_show");
    images.querySelector(".heat")?.remove();
    if (!on) return;
    const made = figure(`${URL_OF}/heatmap`, t("heat_alt"), el("figcaption", { class: "caution" }, icon("warn"), el("span", { text: t("heat_caution") })));
    made.classList.add("heat");
    images.append(made);
    say(t("heat_caution"));
  });
  return button;
}

function fact(name, value, data = true) {
  return value === "" || value === null ? null : el("div", {}, el("dt", { text: t(name) }), el("dd", { text: value, data }));
}

function aboutCard(result) {
  const stages = Object.entries(result.latency_ms).filter(([stage]) => stage !== "total");
  return el("section", { class: "card" },
    el("h2", { text: t("about") }),
    el("dl", { class: "facts" },
      fact("subject", result.subject),
      fact("taken", moment(new Date(result.created_utc))),
      fact("operator", result.operator), fact("site", result.site),
      fact("latency", t("latency_words", { ms: number(result.latency_ms.total ?? 0) }), false),
      fact("model", result.bundle)),
    el("details", {}, el("summary", { text: t("details") }),
      el("dl", { class: "facts" },
        fact("number", number(result.number)),
        fact("runs_on", `${result.backend}, ${result.precision}`),
        fact("bundle_hash", result.bundle_hash), fact("signed_by", result.bundle_signed_by || ""),
        fact("stages", stages.map(([stage, ms]) => `${stage} ${number(ms, 1)} ms`).join(" · ")))));
}

function goOn(keepsSubject, result) {
  if (keepsSubject) sessionStorage.setItem("subject", result.subject);
  else sessionStorage.removeItem("subject");
  location.assign("/");
}

function actions(result) {
  const again = result.outcome === "retake";
  const button = (words, name, primary, act) =>
    el("button", { type: "button", class: primary ? "primary" : "", on: { click: act } }, icon(name), el("span", { text: words }));
  const refers = ["refer", "uncertain"].includes(result.outcome);
  const print = button(t("print"), "print", refers, printSlip);
  const next = button(t("next_person"), "right", !again && !refers, () => goOn(false, result));
  const same = button(t("again"), "camera", again, () => goOn(true, result));
  const order = again ? [same, next] : refers ? [print, next, same] : [next, print, same];
  return el("div", { class: "actions" }, ...order);
}

function fillSlip() {
  if (shown) by("slip").replaceChildren(...(shown.outcome === "retake" ? [] : slip(shown, scoreWords(shown), head)));
}

/** With the log's newest head: what a person takes along proves what the log held then. */
async function printSlip() {
  const { data } = await ask("/api/v1/status");
  if (data) head = data.audit_head;
  fillSlip();
  window.print();
}

function keepAge(result) {
  const created = Date.parse(result.created_utc);
  const tick = () => {
    const ms = Date.now() - created;
    by("old").hidden = ms < OLD_MS;
    if (ms >= OLD_MS) by("old").replaceChildren(icon("wait"), el("span", { text: t("old", { age: age(ms) }) }));
  };
  tick();
  setInterval(tick, TICK_MS);
}

function show(result, first) {
  by("result").replaceChildren(
    el("div", { class: "answer" },
      imageCard(result),
      el("div", { class: "column" },
        outcomeCard(result), actions(result), scoreCard(result), result.outcome === "classified" || result.top.length > 2 ? topCard(result) : null,
        result.outcome === "retake" ? null : startReview(result, operator, (changed) => show(changed, false)),
        aboutCard(result))));
  by("result").removeAttribute("aria-busy");
  shown = result;
  fillSlip();
  document.title = `${t(`outcome_${keyOf(result)}`)} · ${t("app")}`;
  if (first) by("outcome").focus({ preventScroll: true });
}

async function start() {
  const { data, problem } = await ask(URL_OF);
  if (!data || data.id !== ID) {
    by("result").replaceChildren(el("div", { class: "actions" }, el("a", { class: "button primary", href: "/", text: t("nav_screening") })));
    if (problem) by("trouble").replaceChildren(trouble(problem));
    return;
  }
  show(data, true);
  keepAge(data);
}

onStatus((status) => {  // for whoever prints with the browser's own command
  if (!status || status.audit_head === head) return;
  head = status.audit_head;
  fillSlip();
});
startShell();
start();

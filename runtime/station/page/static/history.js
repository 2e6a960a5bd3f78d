// The results: search, filters, pages, CSV of what was found.
import { advice, ask, trouble } from "./api.js";
import { by, el, icon } from "./dom.js";
import { startShell } from "./shell.js";
import { moment, number, percent, t } from "./words.js";

const WAIT_MS = 250;
const PAGE = 50;
let asked = 0;
let next = null;

/** The filters as the service takes them: days here as moments in UTC. */
function query() {
  const made = new URLSearchParams();
  for (const [name, value] of new FormData(by("search"))) {
    if (value.trim()) made.set(name, value.trim());
  }
  for (const [name, days] of [["since", 0], ["until", 1]]) {
    if (!made.has(name)) continue;
    const [year, month, day] = made.get(name).split("-").map(Number);
    made.set(name, new Date(year, month - 1, day + days).toISOString());
  }
  return made;
}

function row(result) {
  const key = result.outcome.replaceAll("-", "_");
  const review = result.review;
  return el("li", { class: `outcome-${result.outcome}` }, el("a", { href: `/results/${result.id}` },
    el("span", { class: "badge" }, icon(result.outcome)),
    el("span", { class: "what" },
      el("strong", { text: t(`outcome_${key}`) }),
      result.findings.length ? el("span", { class: "small", text: advice(result.findings[0]) }) : null,
      result.outcome === "classified" && result.top.length ? el("span", { class: "small", data: true, text: result.top[0].display }) : null,
      result.score !== null && result.outcome !== "retake" ? el("span", { class: "small", text: t("score_short", { score: percent(result.score) }) }) : null),
    el("span", { class: "who" }, el("strong", { data: true, text: result.subject }),
      el("span", { class: "small", data: true, text: [result.operator, result.site].filter(Boolean).join(" · ") })),
    el("span", { class: "when", data: true, text: moment(new Date(result.created_utc)) }),
    el("span", { class: "word" }, review ? icon(review.agrees ? "yes" : "no") : null,
      review ? el("span", { text: t(review.agrees ? "review_agrees" : "review_disagrees") }) : null),
    icon("right")));
}

async function find(more) {
  const filters = query();
  if (by("csv")) by("csv").href = `/api/v1/export.csv?${filters}`;
  history.replaceState(null, "", `?${kept()}`);
  asked += 1;
  const mine = asked;
  const page = new URLSearchParams(filters);
  page.set("limit", PAGE);
  if (more) page.set("before", next);
  const { data, problem } = await ask(`/api/v1/results?${page}`);
  if (mine !== asked) return;  // a later question is under way
  by("trouble").replaceChildren(...(problem ? [trouble(problem)] : []));
  if (!data) {
    if (!more) by("results").replaceChildren();
    return;
  }
  const rows = data.results.map(row);
  if (more) by("results").append(...rows);
  else by("results").replaceChildren(...rows);
  by("count").textContent = data.total ? t("count", { n: number(data.total) }) : t("count_none");
  next = data.next_before;
  by("more").hidden = next === null;
}

const kept = () => new URLSearchParams([...new FormData(by("search"))].filter(([, value]) => value));

function start() {
  for (const [name, value] of new URLSearchParams(location.search)) {
    const field = by("search").elements.namedItem(name);
    if (field) field.value = value;
  }
  const filtered = [...kept().keys()].some((name) => name !== "text");
  const open = (value) => {
    by("filters").hidden = !value;
    by("more-filters").setAttribute("aria-expanded", String(value));
  };
  open(filtered);
  by("more-filters").addEventListener("click", () => open(by("filters").hidden));
  let timer = 0;
  const soon = () => { clearTimeout(timer); timer = setTimeout(() => find(false), WAIT_MS); };
  by("search").addEventListener("input", soon);
  by("search").addEventListener("reset", () => setTimeout(soon));
  by("search").addEventListener("submit", (event) => { event.preventDefault(); find(false); });
  by("more").addEventListener("click", () => find(true));
  find(false);
}

startShell();
start();

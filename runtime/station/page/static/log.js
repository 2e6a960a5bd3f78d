// For admins: what happened here, and the deletion of one person's results on request.
import { ask, trouble } from "./api.js";
import { by, el, say } from "./dom.js";
import { startShell } from "./shell.js";
import { moment, number, t, tOr } from "./words.js";

const PAGE = 50;
const RESULT = /^[0-9a-f]{32}$/;
const WITH_RESULT = ["result", "capture", "view", "review", "send"];
let next = 0;

function row(event) {
  const linked = WITH_RESULT.includes(event.event) && RESULT.test(event.about);
  return el("li", {},
    el("span", { class: "small", data: true, text: `${number(event.number)} · ${moment(new Date(event.created_utc))}` }),
    el("strong", { text: tOr(`event_${event.event.replaceAll("-", "_")}`, "event_other") }),
    el("span", { data: true, text: event.who }),
    el("span", { class: "small", data: true, lang: "en", text: event.detail }),
    linked ? el("a", { class: "button", href: `/results/${event.about}`, text: t("open") },
      el("span", { class: "unseen", data: true, text: ` ${number(event.number)}` })) : null);
}

async function show(more) {
  const { data, problem } = await ask(`/api/v1/audit?limit=${PAGE}${more ? `&before=${next}` : ""}`);
  by("trouble").replaceChildren(...(problem ? [trouble(problem)] : []));
  if (!data) return;
  if (!more) {
    by("events").replaceChildren();
    by("head").textContent = data.head;
  }
  by("events").append(...data.rows.map(row));
  next = data.rows.length ? data.rows[data.rows.length - 1].number : 1;
  by("more").hidden = next <= 1;
}

async function sure(event) {
  event.preventDefault();
  by("forgotten").textContent = "";
  const subject = by("subject").value.trim();
  const { data, problem } = await ask(`/api/v1/results?${new URLSearchParams({ subject, limit: 1 })}`);
  by("trouble").replaceChildren(...(problem ? [trouble(problem)] : []));
  if (!data) return;
  if (!data.total) {
    by("forgotten").textContent = t("count_none");
    return;
  }
  by("sure").dataset.subject = subject;
  by("sure-words").textContent = t("forget_count", { n: number(data.total), subject });
  by("sure").showModal();
}

async function forget() {
  by("sure").close();
  const { data, problem } = await ask("/api/v1/subjects/forget", { method: "POST", json: { subject: by("sure").dataset.subject } });
  by("trouble").replaceChildren(...(problem ? [trouble(problem)] : []));
  if (!data) return;
  by("subject").value = "";
  by("forgotten").textContent = t("forgotten", { n: number(data.results) });
  say(by("forgotten").textContent);
  await show(false);
}

startShell();
by("more").addEventListener("click", () => show(true));
by("forget").addEventListener("submit", sure);
by("no").addEventListener("click", () => by("sure").close());
by("yes").addEventListener("click", forget);
show(false);

// A clinician's word on a result: agrees or disagrees, with a note. Earlier ones stay in the records.
import { ACCOUNT, ask, trouble } from "./api.js";
import { el, icon, say } from "./dom.js";
import { moment, t } from "./words.js";

const MAY = document.body.dataset.reviews === "true";

function said(review) {
  return el("div", { class: `reviewed ${review.agrees ? "agrees" : "disagrees"}` },
    icon(review.agrees ? "yes" : "no"),
    el("div", {},
      el("strong", { text: t(review.agrees ? "review_agrees" : "review_disagrees") }),
      review.note && el("p", { class: "note", data: true, text: review.note }),
      el("p", { class: "small", data: true, text: [review.reviewer, moment(new Date(review.created_utc))].filter(Boolean).join(" · ") })));
}

/** The card; `changed(result)` is called with the stored result. Whoever may not review only reads. */
export function startReview(result, operator, changed) {
  if (!MAY) return el("section", { class: "card review" }, el("h2", { text: t("review") }), result.review ? said(result.review) : el("p", { class: "help", text: t("review_none") }));
  const troubles = el("div", { role: "alert" });
  const note = el("textarea", { id: "note", rows: 3, maxlength: 2000 });
  const reviewer = el("input", { id: "reviewer", maxlength: 100, autocomplete: "off", spellcheck: "false" });
  reviewer.value = operator();
  const save = el("button", { type: "submit", class: "primary", text: t("review_save") });
  const fields = el("div", { class: "review-fields", hidden: true },
    el("label", { for: "note", text: t("note") }), note,
    ACCOUNT ? null : el("label", { for: "reviewer", text: t("reviewer") }), ACCOUNT ? null : reviewer, save);
  let agrees = null;
  const choice = (value) => el("button", { type: "button", id: value ? "agree" : "disagree", "aria-pressed": "false", on: { click: () => choose(value) } },
    icon(value ? "yes" : "no"), el("span", { text: t(value ? "agree" : "disagree") }));
  const choices = [choice(true), choice(false)];

  function choose(value) {
    agrees = value;
    for (const [at, button] of choices.entries()) button.setAttribute("aria-pressed", String((at === 0) === value));
    fields.hidden = false;
    note.focus();
  }

  async function send(event) {
    event.preventDefault();
    save.disabled = true;
    const json = { agrees, note: note.value.trim(), reviewer: reviewer.value.trim() };
    const { data, problem } = await ask(`/api/v1/results/${result.id}/review`, { method: "POST", json });
    save.disabled = false;
    if (problem) return troubles.replaceChildren(trouble(problem));
    say(t("review_saved"));
    return changed(data);
  }

  return el("section", { class: "card review" },
    el("h2", { text: t("review") }),
    result.review && said(result.review),
    el("p", { class: "help", text: t(result.review ? "review_change" : "review_ask") }),
    el("form", { on: { submit: send } }, el("div", { class: "choices" }, ...choices), fields), troubles);
}

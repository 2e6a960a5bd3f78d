// The slip that a person takes along. Seen only in print; no image is on it.
import { el, icon } from "./dom.js";
import { day, moment, number, percent, t } from "./words.js";

/** `own`: a name that is not ours to translate, in place of the key. */
function row(name, value, data = true, own = "") {
  return el("div", {}, el("dt", { text: own || t(name), data: own !== "" }), el("dd", { text: value || t("slip_blank"), data: Boolean(value) && data }));
}

/** One, or of a model with one for each class that of the class that decided; none where the model decides nothing. */
function thresholds(result) {
  if (result.deciding) return [row("threshold", `${result.deciding.display}: ${percent(result.deciding.threshold, 1)}`)];
  return result.threshold === null ? [] : [row("threshold", percent(result.threshold, 1))];
}

/** Who approved the threshold, where it is not the model's own; empty where it is. */
export function approvalWords(result) {
  const own = result.approval;
  if (!own) return "";
  const words = { name: own.approved_by, cases: number(own.cases) };
  if (!own.approved_utc) return t("threshold_clinic_undated", words);
  return t("threshold_clinic", { ...words, date: day(new Date(own.approved_utc)) });
}

/** The slip's parts. `score`: the sentence about it. `head`: where the audit log ends, to be compared with it later. */
export function slip(result, score, head) {
  const key = result.outcome.replaceAll("-", "_");
  const refers = ["refer", "uncertain"].includes(result.outcome);
  const taken = new Date(result.created_utc);
  const review = result.review;
  return [
    el("header", {}, el("p", { class: "slip-app", text: t("app") }), el("h1", { text: t(refers ? "slip_referral" : "slip_screening") })),
    el("p", { class: "slip-outcome" }, icon(result.outcome), el("strong", { text: t(`outcome_${key}`) })),
    el("p", { text: t(`slip_next_${key}`) }),
    el("dl", {},
      row("subject", result.subject),
      row("taken", taken.getUTCFullYear() < 2026 ? t("bar_clock_wrong") : `${moment(taken)} (${result.created_utc})`),
      row("operator", result.operator), row("site", result.site),
      score ? row("score", score, false) : null,
      ...(score ? [] : result.top.map((each) => row(null, percent(each.probability, 1), true, each.display))),
      row("quality", t("quality_accepted"), false),
      row("model", result.bundle), ...thresholds(result),
      result.approval ? row("threshold_whose", approvalWords(result)) : null,
      row("bundle_hash", result.bundle_hash.slice(0, 16)),
      row("review", review ? `${t(review.agrees ? "review_agrees" : "review_disagrees")}${review.reviewer ? ` (${review.reviewer})` : ""}` : t("review_none"), false),
      review?.note ? row("note", review.note) : null,
      row("number", `${number(result.number)} · ${result.id}`),
      row("audit_head", head)),
    el("p", { class: "slip-sign", text: t("slip_signature") }),
    el("p", { class: "slip-foot", text: t("slip_foot") }),
  ];
}

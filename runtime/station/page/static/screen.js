// The screening page: who, then one image; from the camera or from files.
import { advice, ask, detail, problem, trouble } from "./api.js";
import { by, el, icon, say } from "./dom.js";
import { startPreview } from "./preview.js";
import { keyName, onStatus, operator, pedalKey, site, startShell } from "./shell.js";
import { number, t } from "./words.js";

const SUBJECT = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$/;
const DICOM_NAME = /^[^.]*$|\.(dcm|dicom|dic|ima|\d*)$/i;
const UPLOAD_MS = 90000;
const TRIES = 5;
const WITH_CAMERA = by("capture") !== null;
let live = false;
let busy = false;

// ---------------------------------------------------------------- who

const subject = () => by("subject").value.trim();

function subjectIsRight() {
  const right = subject() === "" || SUBJECT.test(subject());
  by("subject-wrong").hidden = right;
  by("subject-wrong").textContent = right ? "" : t("subject_wrong");
  by("subject").setAttribute("aria-invalid", String(!right));
  if (!right) by("subject").focus();
  return right;
}

function startSubject() {
  by("subject").value = sessionStorage.getItem("subject") || "";
  by("subject").addEventListener("input", () => {
    sessionStorage.setItem("subject", subject());
    if (!by("subject-wrong").hidden) subjectIsRight();
  });
  by("about").addEventListener("submit", (event) => {  // a scanner ends with Enter
    event.preventDefault();
    if (subjectIsRight()) (by("capture") || by("files")).focus();
  });
  by("new-subject").addEventListener("click", async () => {
    const { data, problem: found } = await ask("/api/v1/subjects", { method: "POST" });
    if (found) return showTrouble(found);
    by("subject").value = data.subject;
    sessionStorage.setItem("subject", data.subject);
    subjectIsRight();
    return say(data.subject);
  });
}

const about = () => ({ subject: subject(), site: site(), operator: operator() });

function showTrouble(found) {
  by("trouble").replaceChildren(trouble(found));
  by("trouble").scrollIntoView({ block: "nearest" });  // clear of the button and the bar: scroll-margin
}

function openResult(id) {
  location.assign(`/results/${id}`);
}

// ---------------------------------------------------------------- from the camera

function showCapture() {
  if (!WITH_CAMERA) return;
  by("capture").setAttribute("aria-disabled", String(!live || busy));
  by("capture-words").textContent = busy ? t("capture_busy") : t("capture");
  by("capture-key").textContent = busy ? "" : keyName(pedalKey());
}

async function capture() {
  if (busy || !by("batch").hidden) return;
  if (!live) return say(t("no_image"));
  if (!subjectIsRight()) return undefined;
  busy = true;
  by("trouble").replaceChildren();
  showCapture();
  const { data, problem: found } = await ask("/api/v1/capture", { method: "POST", json: about() });
  if (data) return openResult(data.id);
  busy = false;
  showCapture();
  return showTrouble(found);
}

function startKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || by("settings").open) return;
    const at = event.target;
    const types = at.matches("input, textarea, select");
    if (WITH_CAMERA && event.key === pedalKey()) {
      const button = at.matches("button, a, summary") && at.id !== "capture" && [" ", "Enter"].includes(event.key);
      const text = types && at.id !== "subject";
      const letter = at.id === "subject" && event.key.length === 1 && event.key !== " ";
      const scanned = at.id === "subject" && event.key === "Enter";
      if (button || text || letter || scanned) return;
      event.preventDefault();
      if (!event.repeat) capture();
    } else if (!types && /^[A-Za-z0-9]$/.test(event.key)) {
      by("subject").focus();  // typing or scanning anywhere is typing the ID
      by("subject").select();
    }
  });
}

// ---------------------------------------------------------------- from files

/** What a file may be called on the screen: the name of a DICOM file may be its patient's. */
async function named(file, at) {
  const dicom = DICOM_NAME.test(file.name) || await file.slice(128, 132).text().catch(() => "") === "DICM";
  return { file, shown: dicom ? t("file_dicom", { n: number(at + 1) }) : file.name };
}

async function upload(file) {
  const most = Number(document.body.dataset.imageBytes);
  if (file.size > most) return { problem: tooLarge(most) };
  const form = new FormData();
  form.append("images", file);
  for (const [name, value] of Object.entries(about())) form.append(name, value);
  for (let again = 1; ; again += 1) {
    const { data, problem: found } = await ask("/api/v1/predict", { method: "POST", body: form, wait_ms: UPLOAD_MS });
    if (data) return { items: data.items };
    if (!["busy", "too-fast"].includes(found.kind) || again === TRIES) return { problem: found };
    await new Promise((done) => { setTimeout(done, 1000 * Math.max(1, found.retry_s)); });
  }
}

function tooLarge(most) {
  const found = problem({ type: "urn:fieldlens:too-large" });
  return { ...found, detail: `more than ${number(most / 1e6)} MB` };
}

async function take(files) {
  if (busy || !files.length || !subjectIsRight()) return;
  busy = true;
  showCapture();
  by("trouble").replaceChildren();
  const all = await Promise.all(files.map(named));
  if (all.length === 1) await one(all[0]);
  else await many(all);
  busy = false;
  showCapture();
}

async function one({ file, shown }) {
  by("drop").classList.add("working");
  const { items, problem: found } = await upload(file);
  by("drop").classList.remove("working");
  if (found) showTrouble({ ...found, detail: `${shown}: ${found.detail}` });
  else if (items.length === 1 && !items[0].notes.length) openResult(items[0].result.id);
  else {
    openBatch(items.map(itemRow));
    closeBatch(items);
  }
}

async function many(files) {
  const waiting = (shown, words) => [icon("wait"), name(shown), el("span", { text: words })];
  const rows = files.map(({ shown }) => el("li", { class: "waiting" }, ...waiting(shown, t("batch_waiting"))));
  openBatch(rows);
  const all = [];
  for (const [at, { file, shown }] of files.entries()) {
    by("batch-progress").textContent = t("batch_progress", { n: number(at + 1), all: number(files.length) });
    rows[at].replaceChildren(...waiting(shown, t("capture_busy")));
    const { items, problem: found } = await upload(file);
    const made = items || [{ name: shown, notes: [], found }];
    rows[at].replaceWith(...made.map(itemRow));
    all.push(...made);
  }
  closeBatch(all);
}

function openBatch(rows) {
  by("screen").hidden = true;
  by("batch").hidden = false;
  by("batch-done").disabled = true;
  by("batch-title").focus();
  by("batch-items").replaceChildren(...rows);
}

function closeBatch(items) {
  const answers = items.filter((item) => item.result).length;
  by("batch-progress").textContent = answers < items.length
    ? t("batch_some", { n: number(answers), failed: number(items.length - answers) })
    : t("batch_all", { n: number(answers) });
  by("batch-done").disabled = false;
}

const name = (shown) => el("span", { class: "file", data: true, text: shown });

/** A file, or a frame of a DICOM file: its answer, or why it has none. */
function itemRow(item) {
  const result = item.result;
  const notes = item.notes.map((note) => el("span", { text: t(`note_${note.replaceAll("-", "_")}`) }));
  return el("li", { class: result ? `outcome-${result.outcome}` : "failed" },
    ...(result ? answered(item, result, notes) : refused(item, item.found || problem(item.problem))));
}

function answered(item, result, notes) {
  const key = result.outcome.replaceAll("-", "_");
  const why = result.findings.length ? advice(result.findings[0]) : "";
  return [
    el("span", { class: "badge" }, icon(result.outcome)),
    el("div", { class: "grow" }, name(item.name), el("strong", { text: t(`outcome_${key}`) }), why && el("span", { text: why }),
      result.outcome === "classified" && el("span", { data: true, text: result.top[0].display }), ...notes),
    el("a", { class: "button", href: `/results/${result.id}`, text: t("open") }, el("span", { class: "unseen", data: true, text: ` ${item.name}` })),
  ];
}

function refused(item, found) {
  return [
    el("span", { class: "badge" }, icon("no")),
    el("div", { class: "grow" }, name(item.name), el("strong", { text: found.title }), el("span", { text: found.hint }), detail(found.detail)),
  ];
}

function startFiles() {
  const files = by("files");
  files.addEventListener("change", () => { take([...files.files]); files.value = ""; });
  by("batch-done").addEventListener("click", () => {
    by("batch").hidden = true;
    by("screen").hidden = false;
    by("batch-items").replaceChildren();
    clearSubject();
  });
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    by("veil").classList.add("shown");
  });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) by("veil").classList.remove("shown"); });
  document.addEventListener("drop", (event) => {
    by("veil").classList.remove("shown");
    if (!carriesFiles(event)) return;
    event.preventDefault();
    take([...event.dataTransfer.files]);
  });
}

function clearSubject() {
  sessionStorage.removeItem("subject");
  by("subject").value = "";
  by("subject").focus();
}

onStatus(showCapture);
startShell();
startSubject();
startKeys();
startFiles();
if (WITH_CAMERA) startPreview((isLive) => { live = isLive; showCapture(); });

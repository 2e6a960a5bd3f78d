"""The page of the live view: it shows what the server drew, and replaces it by itself when the server is gone.

Nothing but what is here is loaded. The script asks for one image after the other and knows of each when it must be
gone, so that neither a stalled connection nor a tab that was in the background leaves an old answer standing.
"""

from __future__ import annotations

POLICY = (
    "default-src 'none'; img-src 'self' blob: data:; script-src 'self'; connect-src 'self'; "
    "style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
)

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Fieldlens live view</title><link rel="icon" href="data:,">
<style>
body { margin: 0; background: #14171c; color: #e6edf3; font: 16px/1.5 system-ui, sans-serif; text-align: center }
main { max-width: 1100px; margin: 0 auto; padding: 8px }
img { display: block; margin: 0 auto; max-width: 100%; max-height: 76vh }
h1 { margin: 8px 0 0; font-size: 24px }
p { margin: 4px 0; overflow-wrap: anywhere }
#card { background: #46464e; color: #fff; padding: 48px 16px; min-height: 30vh; align-content: center }
#card-words { white-space: pre-line }
#banner { background: #46464e; color: #fff; padding: 8px; font-weight: 600 }
.note { color: #9aa6b2 }
[hidden] { display: none !important }
</style>
<noscript><style>#card { display: none }</style></noscript></head>
<body><main>
<section id="card" role="status"><h1 id="card-title">Waiting for the first image</h1><p id="card-words"></p></section>
<section id="view" hidden>
<p id="banner" hidden></p>
<div id="image"></div>
<h1 id="title"></h1><div id="lines"></div>
<p class="note">Where the model looked, not where the disease is.</p>
</section>
<noscript><img src="/stream.mjpg" alt="the image with the outcome written below it">
<p>Without JavaScript this page cannot notice that the program has ended: compare the time below the image.</p>
</noscript>
</main><script src="/live.js"></script></body></html>
"""

SCRIPT = """"use strict";
const CONTACT_S = 2.5, RETRY_MS = 500, TIMEOUT_MS = 3000, LOOK_MS = 200;
const part = (id) => document.getElementById(id);
let shown = null;  // what the server sent last, with the clocks' readings of its image
let heard = null;  // when the server answered last
let ended = false;

// A sleeping machine may stop one clock and somebody may set the other: the longer time counts.
const reading = (before = 0) => ({ steady: performance.now() - before, wall: Date.now() - before });
const since = (at) => Math.max(performance.now() - at.steady, Date.now() - at.wall) / 1000;

function ago(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min ago`;
  return `${Math.floor(s / 86400)} days ago`;
}

function write(id, text) {
  if (part(id).textContent !== text) part(id).textContent = text;
}

function showCard(title, words) {
  write("card-title", title);
  write("card-words", words);
  part("card").hidden = false;
  part("view").hidden = true;
}

function showLines(lines) {
  const text = lines.join("\\n");
  if (part("lines").dataset.text === text) return;
  part("lines").dataset.text = text;
  const made = lines.map((line) => Object.assign(document.createElement("p"), { textContent: line }));
  part("lines").replaceChildren(...made);
}

// What a person may see now, from what is known: called several times a second, and at every change.
function look() {
  const silent = heard !== null && since(heard) > CONTACT_S;
  const gone = ended ? "The run has ended." : silent ? "Fieldlens does not answer. Is it still running?" : "";
  if (document.hidden) return showCard("Not updated in the background", "");
  if (shown === null) return showCard(silent ? "No connection" : "Waiting for the first image", gone);
  const age = shown.image === null ? "" : `Last image ${ago(since(shown.image))}`;
  const words = [age, gone].filter(Boolean).join(". ");
  if (shown.kind === "answer" && since(shown.sent) > shown.left) return showCard("No current image", words);
  if (shown.kind === "card") {
    return silent ? showCard("No current image", words) : showCard(shown.title, shown.lines.join("\\n"));
  }
  part("card").hidden = true;
  part("view").hidden = false;
  write("title", shown.title);
  showLines(shown.lines);
  part("banner").hidden = shown.kind !== "last";
  write("banner", shown.kind === "last" ? words : "");
}

async function show(state, blob, transit) {
  const image = new Image();
  image.src = URL.createObjectURL(blob);
  image.alt = [state.title, ...state.lines].join(", ");
  try {
    await image.decode();
  } finally {
    URL.revokeObjectURL(image.src);
  }
  if (document.hidden) return;
  part("image").replaceChildren(image);
  const late = performance.now() - transit.received + transit.ms;
  shown = {
    ...state,
    image: state.age_ms === null ? null : reading(state.age_ms + late),
    sent: reading(late),
    left: state.left_ms === null ? Infinity : state.left_ms / 1000,
  };
  look();
}

async function ask() {
  const asked = performance.now();
  const after = shown === null ? "" : shown.id;
  const answer = await fetch(`/now?after=${after}`, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!answer.ok) throw new Error(answer.statusText);
  const { held_ms: held, ended: over, ...state } = JSON.parse(answer.headers.get("Fieldlens"));
  const blob = answer.status === 200 ? await answer.blob() : null;
  const received = performance.now();
  if (blob !== null) await show(state, blob, { received, ms: Math.max(0, received - asked - held) });
  heard = reading();
  ended = over;
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function follow() {
  for (;;) {
    try {
      if (document.hidden) await pause(RETRY_MS);
      else await ask();
    } catch {
      await pause(RETRY_MS);
    }
    look();
  }
}

document.addEventListener("visibilitychange", () => {
  shown = heard = null;  // what was there before is not of now
});
for (const event of ["visibilitychange", "freeze", "resume", "pagehide", "pageshow"]) {
  document.addEventListener(event, look);
  window.addEventListener(event, look);
}
setInterval(look, LOOK_MS);
look();
follow();
"""

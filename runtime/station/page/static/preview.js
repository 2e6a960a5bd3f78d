// The live preview. What is drawn is of the present, or there is nothing: an image that may be older than STALE_MS is
// wiped by the page itself, whatever the station, the camera or the line does.
import { UNATTENDED, problem } from "./api.js";
import { by, icon } from "./dom.js";
import { age, t, tOr } from "./words.js";

export const STALE_MS = 2000;
const TICK_MS = 200;
const CALM_MS = 600;
const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

/** Two clocks: one stands still while the machine sleeps, the other can be set. The greater difference counts. */
const now = () => ({ wall: Date.now(), steady: performance.now() });
const since = (then) => Math.max(Date.now() - then.wall, performance.now() - then.steady);

/** Runs for ever; `onLive(live)` is called when the image comes or goes. */
export function startPreview(onLive) {
  const canvas = by("preview");
  const viewer = by("viewer");
  let after = 0;
  let last = null;   // when the image drawn last was captured, at the earliest
  let live = false;
  let why = "";

  function show(isLive) {
    viewer.dataset.state = isLive ? "live" : "stale";
    if (!isLive) canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    if (live !== isLive) onLive(isLive);
    live = isLive;
  }

  function tick() {
    if (last !== null && since(last) <= STALE_MS) return;
    show(false);
    by("no-image-age").textContent = last === null ? t("no_image_yet") : t("no_image_age", { age: age(since(last)) });
    by("no-image-why").textContent = why;
    hint(null);
  }

  async function next() {
    const asked = now();
    const options = { cache: "no-store", headers: UNATTENDED, signal: AbortSignal.timeout(3000) };
    const answer = await fetch(`/api/v1/preview?after=${after}`, options);
    if (!answer.ok) {
      why = answer.status === 503 ? t("no_image_camera") : problem(await answer.json(), answer).title;
      after = 0;  // a station that started again counts from one
      return pause(300);
    }
    const born = { wall: asked.wall, steady: asked.steady - Number(answer.headers.get("X-Age-Ms")) };
    const bitmap = await createImageBitmap(await answer.blob());
    after = Number(answer.headers.get("X-Frame"));
    if (since(born) > STALE_MS) return bitmap.close();
    draw(bitmap);
    last = born;
    show(true);
    hint(answer.headers.get("X-Checks") || "");
    return pause(10);
  }

  function draw(bitmap) {
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
    }
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
  }

  async function run() {
    for (;;) {
      if (document.hidden) {
        await pause(300);
        continue;
      }
      try {
        await next();
      } catch {
        after = 0;
        why = t("gone");
        await pause(500);
      }
    }
  }

  const hint = calmHint(viewer);
  setInterval(tick, TICK_MS);
  document.addEventListener("visibilitychange", tick);
  window.addEventListener("pageshow", tick);
  window.addEventListener("pagehide", () => { last = null; show(false); });
  run();
}

/** The quality gate's hint; it changes only where it stays the same for a moment, so that nothing flickers. */
function calmHint(viewer) {
  let wanted;
  let wantedSince = 0;
  let shown;
  return (checks) => {
    if (checks !== wanted) {
      wanted = checks;
      wantedSince = performance.now();
    }
    const atOnce = wanted === null || shown === null || shown === undefined;  // no image, or the first one again
    if (wanted === shown || (!atOnce && performance.now() - wantedSince < CALM_MS)) return;
    shown = wanted;
    const level = shown === null ? "none" : shown === "" ? "good" : "bad";
    viewer.dataset.quality = level;
    const words = level === "none" ? t("hint_none") : level === "good" ? t("hint_good")
      : tOr(`check_${shown.split(",")[0].replaceAll("-", "_")}`, "check_other");
    const box = by("hint");
    box.dataset.level = level;
    box.querySelector("span").textContent = words;
    box.querySelector("svg").replaceWith(icon(level === "good" ? "yes" : level === "bad" ? "warn" : "camera-off"));
  };
}

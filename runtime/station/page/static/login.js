// Log in, then go back to the page that asked for it.
import { ask } from "./api.js";
import { by } from "./dom.js";
import { t, timeOfDay } from "./words.js";

const PAGES = /^\/(?:history|log|results\/[0-9a-f]{32})?(?:\?[^#]*)?$/;
const asked = new URLSearchParams(location.search);

/** Our own pages only: an address that somebody made must not lead elsewhere after the log-in. */
function back() {
  const wanted = asked.get("next") || "/";
  return PAGES.test(wanted) ? wanted : "/";
}

function words(found) {
  if (found.kind !== "locked") return found.kind === "wrong" ? found.title : `${found.title}. ${found.hint}`;
  return t("login_locked", { time: timeOfDay(new Date(Date.now() + 1000 * found.retry_s), "medium") });
}

async function enter(event) {
  event.preventDefault();
  const { name, secret } = by("log-in").elements;
  by("wrong").textContent = "";
  by("enter").disabled = true;
  const { problem } = await ask("/api/v1/login", { method: "POST", json: { name: name.value.trim(), secret: secret.value } });
  if (!problem) return location.replace(back());
  by("enter").disabled = false;
  by("wrong").textContent = words(problem);
  secret.value = "";
  return secret.focus();
}

by("ended").hidden = !asked.has("ended");
by("log-in").addEventListener("submit", enter);
for (const link of document.querySelectorAll(".languages a")) {  // another language, the same way back
  const query = new URLSearchParams(asked);
  query.set("lang", link.lang);
  link.search = query;
}
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

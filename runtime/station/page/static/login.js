const form = document.getElementById("log-in");
const said = document.getElementById("said");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  said.textContent = "";
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const answer = await fetch("/api/v1/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name: form.elements.name.value.trim(), secret: form.elements.secret.value }),
    });
    if (answer.ok) {
      location.replace("/");
      return;
    }
    const wait = answer.headers.get("Retry-After");
    said.textContent = answer.status === 429 && wait ? `${form.dataset.locked} ${wait}` : form.dataset.wrong;
    form.elements.secret.value = "";
    form.elements.secret.focus();
  } catch {
    said.textContent = form.dataset.gone;
  } finally {
    button.disabled = false;
  }
});

"""The log-in page: a form and one script, in the browser's language where we have it."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from fieldlens.runtime.station.page.routes import templates
from fieldlens.runtime.station.serving.access import LOGIN_PAGE, AuditEvent, Role, Routes

routes = Routes("", "page")
WORDS = {
    "en": {
        "title": "Log in", "name": "Name", "secret": "PIN or passphrase", "log_in": "Log in",
        "forgotten": "Forgotten? Ask an admin of this station for a new one.", "gone": "The station does not answer.",
        "no_script": "Please switch JavaScript on: without it nobody can log in.",
        "wrong": "The name or the PIN is wrong.", "locked": "Too many wrong tries. Seconds to wait:",
    },
    "es": {
        "title": "Iniciar sesión", "name": "Nombre", "secret": "PIN o contraseña", "log_in": "Entrar",
        "forgotten": "¿La olvidó? Pida una nueva a un administrador de esta estación.",
        "gone": "La estación no responde.", "no_script": "Active JavaScript: sin él no se puede entrar.",
        "wrong": "El nombre o el PIN no es correcto.", "locked": "Demasiados intentos. Segundos de espera:",
    },
}  # fmt: skip


@routes.add(
    "GET", LOGIN_PAGE, may=Role.ANYBODY, event=AuditEvent.NONE, response_class=Response, include_in_schema=False
)
def login_page(request: Request) -> Response:
    """Name and PIN."""
    asked = [request.cookies.get("language", ""), *request.headers.get("accept-language", "").lower().split(",")]
    language = next((each.strip()[:2] for each in asked if each.strip()[:2] in WORDS), "en")
    return templates.TemplateResponse(request, "login.html", {"language": language, "t": WORDS[language]})

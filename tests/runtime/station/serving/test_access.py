"""Who gets in: each route for each role, made from the OpenAPI document; and what a thief or guesser tries."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from fieldlens.runtime.station import app
from fieldlens.runtime.station.app import build_app, build_service, own_hosts
from fieldlens.runtime.station.records import accounts
from fieldlens.runtime.station.records.accounts import AccountError
from fieldlens.runtime.station.records.audit_key import verify_log
from fieldlens.runtime.station.serving.access import COOKIE, Role
from fieldlens.runtime.station.serving.sessions import IDLE_S, LONGEST_S, Sessions
from fieldlens.runtime.station.station import Station
from tests.runtime.station.conftest import HOST, SECRETS, add_accounts, client_of

LogIn = Callable[[str], TestClient]


@pytest.fixture
def manned(station: Station) -> Station:
    """A station with an account for each role, named after it."""
    add_accounts(station)
    return station


@pytest.fixture
def log_in(manned: Station) -> LogIn:
    service = build_app(manned, own_hosts(8080))

    def make(role: str) -> TestClient:
        client = TestClient(service, base_url=HOST, raise_server_exceptions=False, follow_redirects=False)
        if role != "anybody":
            answer = client.post("/api/v1/login", json={"name": role, "secret": SECRETS[role]})
            assert answer.status_code == 200, answer.text
            client.headers["X-CSRF-Token"] = answer.json()["csrf"]
        return client

    return make


def operations(station: Station) -> list[tuple[str, str, Role]]:
    """Method, a path that can be asked, and the role that is needed."""
    paths = build_service(station).openapi()["paths"]
    return [
        (method.upper(), path.replace("{id}", "0" * 32).replace("{number}", "1"), Role[operation["x-may"].upper()])
        for path, methods in paths.items() for method, operation in methods.items()
    ]  # fmt: skip


def token_of(station: Station, role: str) -> str:
    return station.records.change(lambda connection: accounts.add_token(connection, f"m-{role}", role, "2026"))


@pytest.mark.parametrize("by_token", [False, True], ids=["cookie", "token"])
def test_each_route_for_each_role(manned: Station, log_in: LogIn, by_token: bool) -> None:
    routes = [each for each in operations(manned) if not each[1].endswith("/logout")]
    assert len(routes) > 15
    for role in Role:
        name = role.name.lower()
        client = log_in("anybody" if by_token else name)
        if by_token and role:
            client.headers["Authorization"] = f"Bearer {token_of(manned, name)}"
        for method, path, needed in routes:
            status = client.request(method, path, json={}).status_code
            if role >= needed:
                assert status not in (401, 403) or path.endswith("/login"), (name, method, path, status)
            else:
                assert status == (401 if role == Role.ANYBODY else 403), (name, method, path, status)


def pages() -> list[tuple[str, Role]]:
    """The pages, which the OpenAPI document leaves out, and the role that each needs."""
    routes = [route for part in app._PARTS for route in part.router.routes if isinstance(route, APIRoute)]
    return [
        (route.path.replace("{id}", "0" * 32), Role[(route.openapi_extra or {})["x-may"].upper()])
        for route in routes if not route.include_in_schema
    ]  # fmt: skip


def test_each_page_for_each_role(manned: Station, log_in: LogIn) -> None:
    assert len(pages()) >= 4
    for role in Role:
        client = log_in(role.name.lower())
        for path, needed in pages():
            answer = client.get(path)
            if needed == Role.ANYBODY and role:
                assert (answer.status_code, answer.headers["Location"]) == (303, "/"), "logged in already"
            elif role >= needed:
                assert answer.status_code == 200, (role, path)
            else:
                where = "/" if role else f"/login?next={path}"
                assert (answer.status_code, answer.headers["Location"]) == (303, where), (role, path)


def test_nobody_signs_as_somebody_else(manned: Station, log_in: LogIn, photo: bytes) -> None:
    def sent(client: TestClient) -> Any:
        files, data = [("images", ("a.jpg", photo))], {"operator": "Somebody Else"}
        return client.post("/api/v1/predict", files=files, data=data).json()["items"][0]["result"]

    result = sent(log_in("operator"))
    assert result["operator"] == "operator"
    said = {"agrees": True, "reviewer": "Somebody Else"}
    answer = log_in("clinician").post(f"/api/v1/results/{result['id']}/review", json=said)
    assert answer.json()["review"]["reviewer"] == "clinician"
    number = manned.records.notify("clock", "it jumped", "", "2026").number
    seen = log_in("operator").post(f"/api/v1/banners/{number}/seen", json={"by": "Somebody Else"})
    assert seen.json()["seen_by"] == "operator"
    machine = log_in("anybody")
    machine.headers["Authorization"] = f"Bearer {token_of(manned, 'operator')}"
    assert sent(machine)["operator"] == "Somebody Else", "a machine says for whom it asks"


def test_a_page_that_nobody_touches_does_not_keep_its_session(manned: Station) -> None:
    now = [0.0]
    sessions = Sessions(manned.records, monotonic=lambda: now[0])
    found = sessions.log_in("operator", SECRETS["operator"])
    assert not isinstance(found, float)
    while now[0] <= IDLE_S:
        assert sessions.of_cookie(found[0], attended=False) is not None
        now[0] += 100
    assert sessions.of_cookie(found[0], attended=False) is None


def test_pages_lead_to_the_login(log_in: LogIn) -> None:
    answer = log_in("anybody").get("/history")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=/history")
    page = log_in("anybody").get("/login")
    assert page.status_code == 200
    assert '<script type="module" src="/static/login.js">' in page.text
    assert "style=" not in page.text
    assert log_in("operator").get("/").status_code == 200


def test_every_write_needs_the_csrf_token(manned: Station, log_in: LogIn) -> None:
    client = log_in("admin")
    for token in ("", "wrong", log_in("admin").headers["X-CSRF-Token"]):
        client.headers["X-CSRF-Token"] = token
        for method, path, needed in operations(manned):
            if method != "GET" and needed > Role.ANYBODY:
                answer = client.request(method, path, json={})
                assert (answer.status_code, answer.json()["type"]) == (403, "urn:fieldlens:csrf"), path


def test_the_cookie_is_closed_to_scripts_and_other_sites(log_in: LogIn) -> None:
    answer = log_in("anybody").post("/api/v1/login", json={"name": "admin", "secret": SECRETS["admin"]})
    cookie = answer.headers["Set-Cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "max-age" not in cookie, "it ends with the browser"


def test_a_planted_cookie_never_becomes_a_session(log_in: LogIn) -> None:
    client = log_in("anybody")
    client.cookies.set(COOKIE, "planted", domain="127.0.0.1")
    answer = client.post("/api/v1/login", json={"name": "admin", "secret": SECRETS["admin"]})
    assert "planted" not in answer.headers["Set-Cookie"]
    thief = log_in("anybody")
    thief.cookies.set(COOKIE, "planted")
    assert thief.get("/api/v1/me").status_code == 401


def test_a_stolen_cookie_is_worth_nothing_after_log_out(log_in: LogIn) -> None:
    client, thief = log_in("clinician"), log_in("anybody")
    thief.cookies.set(COOKIE, client.cookies[COOKIE])
    assert thief.get("/api/v1/me").status_code == 200
    assert client.post("/api/v1/logout").status_code == 200
    assert thief.get("/api/v1/me").status_code == 401


def test_a_revoked_token_is_worth_nothing(manned: Station, log_in: LogIn) -> None:
    client = log_in("anybody")
    client.headers["Authorization"] = f"Bearer {token_of(manned, 'clinician')}"
    assert client.get("/api/v1/export.csv").status_code == 200
    assert token_of(manned, "operator").encode() not in (manned.records.folder / "records.db-wal").read_bytes()
    manned.records.change(lambda connection: accounts.revoke_token(connection, "m-clinician", "2026"))
    assert client.get("/api/v1/export.csv").status_code == 401


@pytest.mark.parametrize("value", ["Bearer", "Bearer x", "Basic YTpi", "bearer flt_"])
def test_a_wrong_token_is_not_helped_by_a_cookie(log_in: LogIn, value: str) -> None:
    client = log_in("admin")
    client.headers["Authorization"] = value
    assert client.get("/api/v1/me").status_code == 401


def test_guessing_locks_longer_and_longer(manned: Station) -> None:
    now = [1e9]
    sessions = Sessions(manned.records, now_s=lambda: now[0])
    waits = []
    for _ in range(14):
        wait = sessions.log_in("operator", "000001")
        assert isinstance(wait, float)
        waits.append(wait)
        assert not wait or sessions.log_in("operator", SECRETS["operator"]) == wait, "not even the right one"
        now[0] += wait
    assert waits[:6] == [0, 0, 0, 0, 30, 60]
    assert waits[-1] == 3600
    assert not isinstance(sessions.log_in("operator", SECRETS["operator"]), float)
    assert sessions.log_in("operator", "000001") == 0, "and the count begins again"
    details = [row.detail for row in manned.records.audit_rows(100) if row.event == "login-refused"]
    assert {"refused", "locked"} == set(details)
    verify_log(manned.records.folder, [])


def test_an_unknown_name_is_refused_and_never_logged(manned: Station) -> None:
    assert Sessions(manned.records).log_in(SECRETS["admin"], "typed in the wrong field") == 0
    assert SECRETS["admin"] not in json.dumps([row.__dict__ for row in manned.records.audit_rows(100)])


@pytest.mark.parametrize("idle", [True, False])
def test_a_session_ends(manned: Station, idle: bool) -> None:
    now = [0.0]
    sessions = Sessions(manned.records, monotonic=lambda: now[0])
    found = sessions.log_in("operator", SECRETS["operator"])
    assert not isinstance(found, float)
    cookie = found[0]
    if idle:
        now[0] = IDLE_S + 1
    else:
        while now[0] < LONGEST_S:
            assert sessions.of_cookie(cookie) is not None
            now[0] += IDLE_S - 1
    assert sessions.of_cookie(cookie) is None


def test_a_new_pin_ends_older_sessions_and_the_lock(manned: Station, log_in: LogIn) -> None:
    client = log_in("operator")
    for _ in range(6):
        log_in("anybody").post("/api/v1/login", json={"name": "operator", "secret": "000001"})
    manned.records.change(lambda connection: accounts.put(connection, "operator", "operator", "918273"))
    assert client.get("/api/v1/me").status_code == 401
    answer = log_in("anybody").post("/api/v1/login", json={"name": "operator", "secret": "918273"})
    assert answer.status_code == 200


def test_the_last_admin_stays(manned: Station) -> None:
    with pytest.raises(AccountError, match="last admin"):
        manned.records.change(lambda connection: accounts.remove(connection, "admin"))
    with pytest.raises(AccountError, match="last admin"):
        manned.records.change(lambda connection: accounts.put(connection, "admin", "operator", "483920"))


@pytest.mark.parametrize(
    ("role", "secret"),
    [("operator", "12345"), ("operator", "123456"), ("operator", "000000"), ("operator", "short"),
     ("clinician", "483920"), ("admin", "elevenchars"), ("admin", "x" * 201)],
)  # fmt: skip
def test_what_is_easy_to_guess_is_refused(role: str, secret: str) -> None:
    with pytest.raises(AccountError):
        accounts.check_secret(role, secret)


def test_beyond_loopback_nothing_is_open_even_without_accounts(station: Station) -> None:
    assert Sessions(station.records).everything_is_open()
    assert not Sessions(station.records, loopback=False).everything_is_open()
    assert client_of(station).get("/api/v1/me").json()["role"] == "admin"

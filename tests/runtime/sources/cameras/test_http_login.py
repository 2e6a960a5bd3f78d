"""Logging in at a camera: the RFCs' own examples, and real servers that check what they get."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
from collections.abc import Callable
from typing import Any
from urllib.request import parse_http_list, parse_keqv_list

import pytest

from fieldlens.runtime.errors import SourceError
from fieldlens.runtime.sources.cameras.http_login import Challenge, Login, authorization, best, challenges
from tests.runtime.sources.cameras.test_mjpeg import FRAMES, MULTIPART, link, part, server

PASSWORD = "geh:eim&%/ü"
QUOTED = "geh%3Aeim%26%25%2F%C3%BC"


def fields(header: bytes) -> dict[str, str]:
    return dict(parse_keqv_list(parse_http_list(header.decode().removeprefix("Digest "))))


RFC_7616 = {
    "realm": "http-auth@example.org", "qop": "auth, auth-int", "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
    "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
}  # fmt: skip


@pytest.mark.parametrize(
    ("parameters", "client_nonce", "password", "response"),
    [
        ({**RFC_7616, "algorithm": "MD5"}, "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "Circle of Life",
         "8ca523f5e9506fed4657c9700eebdbec"),
        ({**RFC_7616, "algorithm": "SHA-256"}, "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "Circle of Life",
         "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ({"realm": "testrealm@host.com", "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093", "qop": "auth,auth-int"},
         "0a4f113b", "Circle Of Life", "6629fae49393a05397450978507c4ef1"),
        ({"realm": "testrealm@host.com", "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093"},
         "0a4f113b", "Circle Of Life", "670fd8c2df070c60b045671b8b24ff02"),
    ],
    ids=["RFC 7616, MD5", "RFC 7616, SHA-256", "RFC 2617", "RFC 2069, without qop"],
)  # fmt: skip
def test_the_answer_is_the_rfcs(parameters: dict[str, str], client_nonce: str, password: str, response: str) -> None:
    header = authorization(Challenge("digest", parameters), Login("Mufasa", password), "/dir/index.html", client_nonce)
    found = fields(header)
    assert found["response"] == response
    assert found["username"] == "Mufasa"
    assert found.get("opaque") == parameters.get("opaque")
    assert ("cnonce" in found) == ("qop" in parameters)
    assert b"Circle" not in header


def test_several_challenges_in_one_header_or_in_many() -> None:
    one = challenges(['Basic realm="a, \\"b\\"", Digest realm="c", nonce="n==", qop="auth,auth-int", algorithm=MD5'])
    assert [each.scheme for each in one] == ["basic", "digest"]
    assert one[0].parameters == {"realm": 'a, "b"'}
    assert one[1].parameters["qop"] == "auth,auth-int"
    assert one[1].parameters["nonce"] == "n=="
    many = challenges(["Negotiate", "digest realm=x, nonce=y, stale=TRUE"])
    assert [each.scheme for each in many] == ["negotiate", "digest"]
    assert many[1].stale


@pytest.mark.parametrize(
    ("headers", "scheme", "algorithm"),
    [
        (['Basic realm="x"', 'Digest realm="x", nonce="n"'], "digest", "MD5"),
        (['Digest realm="x", nonce="n", algorithm=MD5', 'Digest realm="x", nonce="n", algorithm=SHA-256'],
         "digest", "SHA-256"),
        (['Digest realm="x", nonce="n", algorithm=SHA-256-sess'], "digest", "SHA-256"),
        (['Digest realm="x", nonce="n", algorithm=WHIRLPOOL', 'Basic realm="x"'], "basic", "MD5"),
    ],
)  # fmt: skip
def test_the_strongest_is_taken(headers: list[str], scheme: str, algorithm: str) -> None:
    chosen = best(challenges(headers))
    assert chosen is not None
    assert (chosen.scheme, chosen.algorithm) == (scheme, algorithm)


def test_a_kind_that_is_not_known_is_none() -> None:
    assert best(challenges(["NTLM", "Negotiate", 'Bearer realm="x"'])) is None


class Guard:
    """A camera that lets in who answers its challenges rightly."""

    def __init__(self, *said: str, check: Callable[[dict[str, str]], bool] = lambda found: False) -> None:
        self.said, self._check = said, check
        self.requests: list[bytes] = []

    def __call__(self, client: socket.socket, request: bytes) -> None:
        self.requests.append(request)
        header = re.search(rb"(?im)^authorization: (.*)\r$", request)
        basic = b"Basic " + base64.b64encode(f"nurse:{PASSWORD}".encode())
        if header is None:
            right = False
        elif header[1].startswith(b"Digest "):
            right = self._check(fields(header[1]))
        else:
            right = header[1] == basic and all(said.startswith("Basic") for said in self.said)
        if right:
            client.sendall(b"HTTP/1.1 200 OK\r\n" + MULTIPART % b"b" + b"\r\n" + part(FRAMES[0]))
            return
        said = "".join(f"WWW-Authenticate: {each}\r\n" for each in self.said)
        client.sendall(f"HTTP/1.1 401 Unauthorized\r\n{said}Content-Length: 2\r\n\r\nno".encode())


def digest(
    hash_name: str, *, session: bool = False, qop: str = "auth", hidden: bool = False
) -> Callable[[dict[str, str]], bool]:
    """The rule as the RFC writes it."""

    def right(found: dict[str, str]) -> bool:
        def h(text: str) -> str:
            return hashlib.new(hash_name, text.encode()).hexdigest()

        a1 = h(f"nurse:cam:{PASSWORD}")
        if session:
            a1 = h(f"{a1}:nonce1:{found['cnonce']}")
        a2 = h(f"GET:{found['uri']}" + (f":{h('')}" if qop == "auth-int" else ""))
        user = h("nurse:cam") if hidden else "nurse"
        middle = f"{found['nc']}:{found['cnonce']}:{qop}:" if qop else ""
        return (
            found["uri"] == "/video?x=1" and found["nonce"] == "nonce1" and found["username"] == user
            and found["response"] == h(f"{a1}:nonce1:{middle}{a2}")
        )  # fmt: skip

    return right


BASE = 'Digest realm="cam", nonce="nonce1"'


@pytest.mark.parametrize(
    ("said", "check"),
    [
        ([f'{BASE}, qop="auth"'], digest("md5")),
        ([f'{BASE}, qop="auth", algorithm=MD5'], digest("md5")),
        ([f'{BASE}, qop="auth", algorithm="MD5"'], digest("md5")),
        ([f'{BASE}, qop="auth", algorithm=SHA-256, charset=UTF-8'], digest("sha256")),
        ([f'{BASE}, qop="auth", algorithm=md5-sess'], digest("md5", session=True)),
        ([f'{BASE}, qop="auth", algorithm=SHA-256-sess'], digest("sha256", session=True)),
        ([f'{BASE}, qop="auth", algorithm=SHA-512-256, userhash=true'], digest("sha512_256", hidden=True)),
        ([f'{BASE}, qop="auth-int,auth"'], digest("md5")),
        ([f'{BASE}, qop="auth-int"'], digest("md5", qop="auth-int")),
        ([f"{BASE}, qop=auth"], digest("md5")),
        ([BASE], digest("md5", qop="")),
        ([f'{BASE}, qop="auth", algorithm=SHA-256', f'{BASE}, qop="auth", algorithm=MD5'], digest("sha256")),
        (['Basic realm="cam"', f'{BASE}, qop="auth"'], digest("md5")),
        ([f'Basic realm="cam", {BASE}, qop="auth"'], digest("md5")),
        (['Basic realm="cam"'], digest("md5")),
        ([], digest("md5")),
    ],
)  # fmt: skip
def test_every_way_in(said: list[str], check: Callable[[dict[str, str]], bool]) -> None:
    guard = Guard(*said, check=check)
    with server(guard) as where:
        opened = link(where, f"nurse:{QUOTED}@")
        shot = opened.read(1.0)
        opened.close()
    assert shot is not None
    assert b"uthorization" not in guard.requests[0]
    if any("Digest" in each for each in said):
        assert not any(b"Basic" in request for request in guard.requests)
        assert not any(PASSWORD.encode() in request for request in guard.requests)


def test_a_nonce_that_is_too_old_is_replaced() -> None:
    class Stale(Guard):
        def __call__(self, client: socket.socket, request: bytes) -> None:
            nonce = "nonce0" if len(self.requests) < 1 else "nonce1"
            stale = ", stale=true" if self.requests else ""
            self.said = (f'Digest realm="cam", nonce="{nonce}", qop="auth"{stale}',)
            super().__call__(client, request)

    guard = Stale(check=digest("md5"))
    with server(guard) as where:
        opened = link(where, f"nurse:{QUOTED}@")
        assert opened.read(1.0) is not None
        opened.close()
    assert len(guard.requests) == 3


@pytest.mark.parametrize(
    ("said", "user", "words", "asked"),
    [
        ([f'{BASE}, qop="auth"'], "nurse:geheim@", "does not accept this user and password", 2),
        (['Basic realm="cam"'], "nurse:geheim@", "does not accept this user and password", 2),
        ([f'{BASE}, qop="auth"'], "", "the camera wants a password", 1),
        ([], "", "the camera wants a password", 1),
        (["NTLM"], "nurse:geheim@", "a kind of login that is not known", 1),
        ([f"{BASE}, algorithm=WHIRLPOOL"], "nurse:geheim@", "a kind of login that is not known", 1),
        ([f'{BASE}, qop="auth", stale=true'], "nurse:geheim@", "does not accept this user and password", 3),
        ([f'{BASE}, qop="auth"'], "nurse%0d%0aX:geheim@", "control characters", 0),
    ],
)
def test_who_is_not_let_in_hears_why_and_never_the_password(
    said: list[str], user: str, words: str, asked: int, capfd: pytest.CaptureFixture[str]
) -> None:
    guard = Guard(*said)
    with server(guard) as where, pytest.raises(SourceError, match=words) as caught:
        link(where, user)
    assert len(guard.requests) == asked
    chain: list[Any] = [caught.value]
    while chain[-1] is not None:
        assert "geheim" not in f"{chain[-1]!r}{getattr(chain[-1], 'hint', '')}"
        chain.append(chain[-1].__cause__)
    assert "geheim" not in repr(Login("nurse", "geheim"))
    assert "geheim" not in "".join(capfd.readouterr())

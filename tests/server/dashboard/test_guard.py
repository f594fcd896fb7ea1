"""What stands before every request and socket, around an application that answers everything."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from tidegate_server.dashboard.access import Access
from tidegate_server.dashboard.guard import SESSION, Guard
from tidegate_server.dashboard.tokens import Tokens

VIEW, OPERATE = "view-token-0123456", "operate-token-01234"
BASE = "http://127.0.0.1:7071"
COOKIE = "tidegate_7071"
ATTACK = "http://evil.example"


async def page(request: Request) -> Response:
    return HTMLResponse(f"<script>go()</script><script type=module></script>{request.url.path}")


async def role(request: Request) -> Response:
    return JSONResponse({"role": request.scope[SESSION].role})


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(websocket.scope[SESSION].role)
    await websocket.close()


@pytest.fixture
def browser() -> Iterator[TestClient]:
    """A browser at the dashboard's own address, which follows no redirect by itself."""
    inner = Starlette(
        routes=[
            Route("/role", role, methods=["GET", "POST"]),
            WebSocketRoute("/socket", socket),
            Route("/{rest:path}", page, methods=["GET", "POST"]),
        ]
    )
    access = Access(Tokens(SecretStr(VIEW), SecretStr(OPERATE)))
    guard = Guard(inner, access=access, names={"dash.example"}, cookie=COOKIE)
    with TestClient(guard, base_url=BASE, follow_redirects=False) as client:
        yield client


def sign_in(browser: TestClient, token: str = VIEW) -> None:
    assert browser.get(f"/?token={token}").status_code == 303


def post(browser: TestClient, path: str, origin: str | None = BASE, **form: str) -> Any:
    headers = {} if origin is None else {"origin": origin}
    return browser.post(path, data=form, headers=headers)


@pytest.mark.parametrize("path", ["/", "/prod/flags/x", "/_nicegui/x.js", "/static/a", "/role"])
def test_without_a_token_nothing_is_seen(browser: TestClient, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == 401
    assert 'name="token"' in answer.text
    asset = browser.get(path, headers={"sec-fetch-mode": "no-cors"})
    assert (asset.status_code, asset.text) == (401, "Sign in first.\n")
    assert post(browser, path).status_code == 401


@pytest.mark.parametrize(("token", "expected"), [(VIEW, "viewer"), (OPERATE, "operator")])
def test_a_link_with_a_token_is_exchanged_for_a_cookie(
    browser: TestClient, token: str, expected: str
) -> None:
    answer = browser.get(f"/role?a=1&token={token}&b=%2F2")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/role?a=1&b=%2F2"
    assert token not in answer.headers["location"] + answer.text
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith(COOKIE)
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie
    assert token not in cookie
    assert browser.get("/role").json() == {"role": expected}


def test_the_cookie_is_for_https_alone_where_that_is_spoken(browser: TestClient) -> None:
    answer = browser.get(f"https://127.0.0.1:7071/?token={VIEW}")
    assert "; secure" in answer.headers["set-cookie"].lower()


def test_the_form_signs_in_and_goes_where_one_wanted_to(browser: TestClient) -> None:
    form = browser.get("/prod/flags/x?span=2h").text
    assert 'value="/prod/flags/x?span=2h"' in form
    answer = post(browser, "/login", token=VIEW, next="/prod/flags/x?span=2h")
    assert (answer.status_code, answer.headers["location"]) == (303, "/prod/flags/x?span=2h")
    assert browser.get("/role").status_code == 200


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "https://evil.example/", "/\\evil.example", "/\t/evil.example", "x", ""],
)
def test_the_form_leads_to_no_other_site(browser: TestClient, target: str) -> None:
    answer = post(browser, "/login", token=VIEW, next=target)
    assert answer.headers["location"] == "/"


def test_the_form_takes_what_was_asked_for_as_text(browser: TestClient) -> None:
    form = browser.get('/"><script>alert(1)</script>?q="><b>').text
    assert "<script>alert" not in form
    assert "<b>" not in form


def test_wrong_tokens_are_refused_and_then_kept_waiting(browser: TestClient) -> None:
    answers = [browser.get(f"/?token=wrong-{number}") for number in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert "opens nothing" in answers[0].text
    assert 1 <= int(answers[5].headers["retry-after"]) <= 5
    assert browser.get(f"/?token={VIEW}").status_code == 429, "the right one waits too"
    assert "set-cookie" not in browser.get(f"/?token={VIEW}").headers


def test_a_form_that_is_too_long_is_not_read(browser: TestClient) -> None:
    assert post(browser, "/login", token="x" * 20_000).status_code == 413


@pytest.mark.parametrize("origin", [ATTACK, "null", "", None, "http://127.0.0.1:7072", "http://["])
@pytest.mark.parametrize("path", ["/login", "/logout", "/role"])
def test_posts_of_other_sites_do_nothing(
    browser: TestClient, path: str, origin: str | None
) -> None:
    sign_in(browser)
    answer = post(browser, path, origin, token=OPERATE)
    assert answer.status_code == 403
    assert browser.get("/role").json() == {"role": "viewer"}


def test_signing_out_ends_the_session_wherever_its_cookie_is(browser: TestClient) -> None:
    sign_in(browser)
    stolen = browser.cookies[COOKIE]
    assert post(browser, "/logout").headers["location"] == "/login"
    assert browser.get("/role").status_code == 401
    browser.cookies.set(COOKIE, stolen, domain="127.0.0.1")
    assert browser.get("/role").status_code == 401


def test_a_link_of_another_site_opens_what_the_cookie_allows(browser: TestClient) -> None:
    """A strict cookie does not come with the first request; it does with the one that follows."""
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    answer = browser.get("/prod", headers=headers)
    assert answer.status_code == 200
    assert 'http-equiv="refresh"' in answer.text
    assert 'name="token"' not in answer.text


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example:7071", "dash.example.evil", "", "[", "a@127.0.0.1:x"],
)
def test_names_that_are_not_ours_are_refused(browser: TestClient, host: str) -> None:
    """They may be somebody else's names for this machine (DNS rebinding)."""
    sign_in(browser)
    headers = {"host": host, "cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
    assert browser.get("/role", headers=headers).status_code == 400


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7071", "localhost:7071", "192.0.2.7", "[::1]:7071", "Dash.Example:8443"]
)
def test_addresses_and_our_names_are_known(browser: TestClient, host: str) -> None:
    sign_in(browser)
    headers = {"host": host, "cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
    assert browser.get("/role", headers=headers).status_code == 200


def socket_role(browser: TestClient, headers: Mapping[str, str]) -> str:
    with browser.websocket_connect("/socket", headers=dict(headers)) as connected:
        return str(connected.receive_text())


def test_a_socket_needs_a_session_and_its_own_page(browser: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect):
        socket_role(browser, {"origin": BASE})
    sign_in(browser)
    cookie = {"cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
    host = {"host": "127.0.0.1:7071"}
    assert socket_role(browser, {**cookie, **host, "origin": BASE}) == "viewer"
    for origin in (ATTACK, "null", "http://127.0.0.1:7072"):
        with pytest.raises(WebSocketDisconnect):
            socket_role(browser, {**cookie, **host, "origin": origin})
    with pytest.raises(WebSocketDisconnect):
        socket_role(browser, {**cookie, **host})
    with pytest.raises(WebSocketDisconnect):
        socket_role(browser, {**cookie, "host": "evil.example", "origin": ATTACK})


def test_pages_carry_what_protects_them(browser: TestClient) -> None:
    sign_in(browser)
    answer = browser.get("/prod")
    policy = answer.headers["content-security-policy"]
    nonce = re.search(r"'nonce-([^']+)'", policy)
    assert nonce is not None
    assert answer.text.startswith(f'<script nonce="{nonce[1]}">go()</script><script nonce="')
    assert "'unsafe-inline'" not in policy.split("style-src")[0]
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert browser.get("/prod").headers["content-security-policy"] != policy, "a nonce is used once"
    for unguarded in (browser.get("/login"), browser.get("/healthz")):
        assert "content-security-policy" in unguarded.headers


def test_health_is_told_to_all(browser: TestClient) -> None:
    assert browser.get("/healthz").text == "ok\n"

"""What stands before every request and every socket: names, origins, sessions, headers."""

import ipaddress
import re
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidegate_server.dashboard.access import SESSION_SECONDS, Access, Attempts, Session
from tidegate_server.dashboard.login import login_page, opening_page

log = structlog.get_logger(__name__)

HEALTH = "/healthz"
SESSION = "tidegate.session"
"""Where the scope of a request holds its session."""

MOST_FORM_BYTES = 10_000
_SAFE = ("GET", "HEAD")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{1,5})?")
_SCRIPT = re.compile(rb"<script(?=[\s>])")

_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with no-referrer, forms are sent with the origin "null"
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

Answer: TypeAlias = Callable[[Request], Awaitable[Response]]


def policy(nonce: str) -> str:
    """Return what a page may load and run.

    Vue compiles templates in the browser ('unsafe-eval'), and sets styles of elements.
    """
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'self' 'nonce-{nonce}' 'unsafe-eval'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "font-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )


class Guard:
    """Lets through what has a session, and adds the headers that keep pages to themselves.

    names: host names under which browsers may come, besides addresses and localhost: a name that is
    not ours may be somebody else's that points here.
    """

    def __init__(
        self, app: ASGIApp, *, access: Access, names: Collection[str], cookie: str
    ) -> None:
        self._app = app
        self._access = access
        self._names = {name.strip().lower() for name in names}
        self._cookie = cookie
        self._attempts = Attempts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or socket."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        session = self._session(headers)
        if not (session and self._known(headers) and _same_origin(headers)):
            await receive()
            await send({"type": "websocket.close", "code": 4403})
            return
        scope[SESSION] = session
        await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        nonce = secrets.token_urlsafe(16)
        scope["tidegate.nonce"] = nonce
        request = Request(scope, receive)
        answer = await self._answer(request)
        if answer is not None:
            _protect(answer.headers, nonce)
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, _Protected(send, nonce))

    async def _answer(self, request: Request) -> Response | None:
        """Return the answer to what goes no further; None lets it through."""
        headers, path = request.headers, request.url.path
        if not self._known(headers):
            return PlainTextResponse(
                f"This dashboard is not known as {headers.get('host')!r}: add the name to "
                "TIDEGATE_DASHBOARD_HOSTS\n",
                400,
            )
        if path == HEALTH:
            return PlainTextResponse("ok\n")
        if request.method not in _SAFE and not _same_origin(headers):
            return PlainTextResponse("The request comes from another site.\n", 403)
        if path == "/login":
            return await self._login(request)
        session = self._session(headers)
        if path == "/logout" and request.method == "POST":
            return self._logout(session)
        if "token" in request.query_params and request.method == "GET":
            return self._exchange(request, request.query_params["token"], _without_token(request))
        if session is None:
            return self._ask(request)
        request.scope[SESSION] = session
        return None

    async def _login(self, request: Request) -> Response:
        if request.method != "POST":
            return self._form(request, "/")
        if int(request.headers.get("content-length") or MOST_FORM_BYTES + 1) > MOST_FORM_BYTES:
            return PlainTextResponse("The form is too long.\n", 413)
        form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        return self._exchange(request, form.get("token", ""), _local(form.get("next", "/")))

    def _exchange(self, request: Request, token: str, target: str) -> Response:
        """Answer a token with a session's cookie, or with the question for another."""
        address = request.client.host if request.client else ""
        wait = self._attempts.wait(address)
        if wait:
            problem = f"Too many wrong tokens: try again in {wait:.0f} s."
            answer = self._form(request, target, problem, 429)
            answer.headers["retry-after"] = str(round(wait) or 1)
            return answer
        session = self._access.exchange(token.strip())
        if session is None:
            self._attempts.note(address)
            log.warning("wrong_token", address=address)
            return self._form(request, target, "This token opens nothing.", 401)
        log.info("signed_in", role=session.role, session=session.id, address=address)
        redirect = RedirectResponse(target, 303)
        redirect.set_cookie(
            self._cookie,
            self._access.seal(session),
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return redirect

    def _logout(self, session: Session | None) -> Response:
        if session is not None:
            self._access.end(session)
            log.info("signed_out", session=session.id)
        redirect = RedirectResponse("/login", 303)
        redirect.delete_cookie(self._cookie, httponly=True, samesite="strict")
        return redirect

    def _ask(self, request: Request) -> Response:
        """Answer who has no session."""
        mode = request.headers.get("sec-fetch-mode", "navigate")
        if request.method != "GET" or mode != "navigate":
            return PlainTextResponse("Sign in first.\n", 401)
        if request.headers.get("sec-fetch-site") == "cross-site":
            return HTMLResponse(opening_page())
        query = f"?{request.url.query}" if request.url.query else ""
        return self._form(request, request.url.path + query, code=401)

    def _form(
        self, request: Request, target: str, problem: str = "", code: int = 200
    ) -> HTMLResponse:
        return HTMLResponse(login_page(request.scope["tidegate.nonce"], target, problem), code)

    def _session(self, headers: Headers) -> Session | None:
        sealed = cookies(headers).get(self._cookie)
        return self._access.read(sealed) if sealed else None

    def _known(self, headers: Headers) -> bool:
        """Tell whether the browser came under one of our names, or an address."""
        match = _HOST.fullmatch(headers.get("host", "").lower())
        host = match[1].strip("[]") if match else ""
        return host == "localhost" or host in self._names or _is_address(host)


class _Protected:
    """Sends an answer on, with the headers that protect it; scripts of pages get their nonce."""

    def __init__(self, send: Send, nonce: str) -> None:
        self._send = send
        self._nonce = nonce
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        """Take one message of the answer."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            is_page = headers.get("content-type", "").startswith("text/html")
            _protect(headers, self._nonce, keep=not is_page)
            if is_page:
                self._start = message
                return
        elif self._start is not None:
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            body = _SCRIPT.sub(b'<script nonce="' + self._nonce.encode() + b'"', self._body)
            MutableHeaders(raw=self._start["headers"])["content-length"] = str(len(body))
            await self._send(self._start)
            await self._send({"type": "http.response.body", "body": body})
            return
        await self._send(message)


def cookies(headers: Headers) -> Mapping[str, str]:
    """Return the cookies of a request."""
    found: dict[str, str] = {}
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.partition("=")
        found.setdefault(name.strip(), value.strip())
    return found


def _protect(headers: MutableHeaders, nonce: str, *, keep: bool = False) -> None:
    """Add the headers that protect an answer. keep: it may be kept by the browser."""
    headers.update(_HEADERS)
    headers["content-security-policy"] = policy(nonce)
    if not keep:
        headers["cache-control"] = "no-store"


def _same_origin(headers: Headers) -> bool:
    """Tell whether a request was made by a page of ours."""
    origin, host = headers.get("origin", ""), headers.get("host", "")
    try:
        return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _local(target: str) -> str:
    """Return a path of this site, whatever was asked for."""
    parts: Any = urlsplit(target)
    if parts.scheme or parts.netloc or not target.startswith("/") or "\\" in target:
        return "/"
    return "/" + target.lstrip("/")


def _without_token(request: Request) -> str:
    rest = [(name, value) for name, value in request.query_params.multi_items() if name != "token"]
    return _local(request.url.path) + (f"?{urlencode(rest)}" if rest else "")

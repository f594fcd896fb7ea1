"""Requests to a real HTTP server."""

import hashlib
import hmac
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.server.controller.conftest import SECRET
from tests.server.controller.receiver import Receiver, receiving
from tidegate_server.bootstrap.adapters import SystemClock
from tidegate_server.controller.web import Answer, Web, sign


async def test_what_is_posted_is_signed(web: Web, receiver: Receiver) -> None:
    answer = await web.post(f"{receiver.url}/hook", b'{"a": 1}', "prod/chat/1/2", 5)
    assert (answer, answer.ok) == (Answer(200, "said"), True)
    [received] = receiver.received
    assert (received.method, received.body) == ("POST", b'{"a": 1}')
    assert received.headers["Content-Type"] == "application/json"
    assert received.headers["Tidegate-Id"] == "prod/chat/1/2"
    time, digest = received.headers["Tidegate-Signature"].split(",")
    signed = f"{time.removeprefix('t=')}.".encode() + received.body
    assert digest == f"v1={hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()}"


def test_a_signature() -> None:
    """As `printf '1700000000.{}' | openssl dgst -sha256 -hmac secret` computes it."""
    assert sign("secret", b"{}", 1_700_000_000) == (
        "t=1700000000,v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163"
    )


async def test_without_a_secret_it_warns_once(receiver: Receiver) -> None:
    async with Web(None, SystemClock()) as web:
        with capture_logs() as logs:
            for _ in range(2):
                await web.post(receiver.url, b"{}", "1", 5)
    assert [each["event"] for each in logs] == ["webhooks_unsigned"]
    assert not any("Tidegate-Signature" in each.headers for each in receiver.received)


@pytest.mark.parametrize(
    ("status", "ok", "temporary"),
    [
        (204, True, False),
        (302, False, False),
        (400, False, False),
        (404, False, False),
        (425, False, True),
        (429, False, True),
        (503, False, True),
    ],
)
async def test_answers(
    web: Web, receiver: Receiver, status: int, ok: bool, temporary: bool
) -> None:
    receiver.answer("/hook", status)
    answer = await web.post(f"{receiver.url}/hook", b"{}", "1", 5)
    assert (answer.status, answer.ok, answer.temporary) == (status, ok, temporary)
    assert len(receiver.received) == 1, "redirects are not followed"


async def test_an_answer_is_said_in_words(web: Web, receiver: Receiver) -> None:
    receiver.answer("/hook", 409, 302)
    receiver.text = "no " * 1_000
    refused = await web.post(f"{receiver.url}/hook", b"{}", "1", 5)
    assert str(refused) == f"answered 409: {('no ' * 1_000)[:500].strip()}"
    redirected = await web.post(f"{receiver.url}/hook", b"{}", "1", 5)
    assert str(redirected).startswith("answered 302 (redirects are not followed")
    assert str(Answer(500, "")) == "answered 500"


async def test_no_answer(web: Web, receiver: Receiver) -> None:
    receiver.answer("/hook", None)
    late = await web.post(f"{receiver.url}/hook", b"{}", "1", 0.1)
    assert (str(late), late.temporary) == ("no answer within 0.1 s", True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{probe.getsockname()[1]}"
        refused = await web.get(closed, 5, 100)
    assert refused.status == 0
    assert str(refused).startswith("can't be reached: ")


async def test_a_host_that_no_name_can_be(web: Web) -> None:
    answer = await web.get("http://a..b/", 5, 100)
    assert answer.status == 0
    assert str(answer).startswith("can't be reached: ")


async def test_proxies_of_the_environment_are_not_used(
    web: Web, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert (await web.get(receiver.url, 5, 100)).ok


@pytest.fixture
def unknown_certificate(tmp_path: Path) -> ssl.SSLContext:
    """What a server has whose certificate nobody vouches for."""
    words = "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout key -out cert"
    subprocess.run(["openssl", *words.split()], cwd=tmp_path, capture_output=True, check=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    return context


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
async def test_certificates_must_be_valid(web: Web, unknown_certificate: ssl.SSLContext) -> None:
    async with receiving(unknown_certificate) as receiver:
        answer = await web.post(receiver.url, b"{}", "1", 5)
    assert answer.status == 0
    assert "CERTIFICATE_VERIFY_FAILED" in str(answer)
    assert receiver.received == []


async def test_it_must_be_opened() -> None:
    with pytest.raises(RuntimeError, match="context manager"):
        await Web(None, SystemClock()).get("http://127.0.0.1", 1, 1)

"""What must do nothing: no token, too little of one, other sites, and names that are code."""

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from playwright.sync_api import Browser, expect

import tidegate
from tests.e2e.dashboard.browser import OPERATE, PATIENCE_MS, VIEW, Visitor
from tests.e2e.stack import Stack
from tests.waiting import until
from tidegate.v1 import (
    experiment_service_pb2,
    experiment_service_pb2_grpc,
    flag_pb2,
    flag_service_pb2,
    flag_service_pb2_grpc,
)
from tidegate_server.cli.experiment_file import parse_experiment_file
from tidegate_server.wire.experiments import plan_to_message

CODE = "<img src=x onerror=window.pwned=1><script>window.pwned=1</script>{{pwned=1}}${pwned=1}`'\""

PLAN = """
experiment: evil
flag: evil
control: a
treatment: b
stages: [{name: all, share: 100%}]
guardrails: [{metric: error, max: 5%}]
"""


@pytest.fixture(scope="module")
def evil(stack: Stack) -> Iterator[None]:
    """A flag, an experiment and a client whose every free text is code."""
    flag = flag_pb2.Flag(
        key="evil", description=CODE, default_variant="a", killed=True, unit_attribute="account"
    )
    for key in ("a", "b"):
        value: Any = flag.variants.add(key=key).value
        value.update({":onclick": CODE, CODE: CODE, "html": CODE})
    flag.split.add(variant="a", share_ppm=1_000_000)
    flag.overrides.add(unit_id=CODE, variant="b")
    rule = flag.rules.add(name=CODE[:100], variant="b")
    rule.clauses.add(attribute="team", operator=flag_pb2.OPERATOR_IN).values.add(string_value=CODE)
    plan = plan_to_message(parse_experiment_file("plan", PLAN).plan)
    plan.description = CODE
    plan.labels["team"] = CODE[:100]
    with grpc.insecure_channel(stack.address) as channel:
        flags = flag_service_pb2_grpc.FlagServiceStub(channel)
        flags.CreateFlag(flag_service_pb2.CreateFlagRequest(flag=flag), timeout=30)
        flag.killed = False
        flag.description = CODE + CODE
        flags.UpdateFlag(flag_service_pb2.UpdateFlagRequest(flag=flag), timeout=30)
        stub = experiment_service_pb2_grpc.ExperimentServiceStub(channel)
        create = experiment_service_pb2.CreateExperimentRequest(plan=plan)
        stub.CreateExperiment(create, timeout=30)
        for ask in ("Start", "Abort"):
            request = getattr(experiment_service_pb2, f"{ask}ExperimentRequest")
            call = getattr(stub, f"{ask}Experiment")
            call(request(key="evil", actor=CODE, why=CODE), timeout=30)
    client = tidegate.Client(stack.address, client_name=CODE[:100])
    assert client.wait_ready(30)
    yield
    client.close()


@pytest.mark.parametrize(
    "path", ["/prod", "/prod/flags/evil", "/prod/flags/evil/analysis", "/prod/experiments/evil"]
)
def test_names_that_are_code_are_text(evil: None, operator: Visitor, path: str) -> None:
    page = operator.go(path)
    page.wait_for_selector(".grid")
    page.wait_for_timeout(500)  # time for what must not run
    assert page.evaluate("[window.pwned, typeof pwned]") == [None, "undefined"]
    assert page.evaluate("document.querySelectorAll('.main img, .main script').length") == 0
    if path.endswith("flags/evil"):
        for text in ("onerror=window.pwned=1", "${pwned=1}"):
            assert text in page.get_by_role("main").inner_text()
        page.get_by_role("button", name="Edit").click()
        expect(page.get_by_label("Flag file")).to_be_visible()
    if path.endswith("experiments/evil"):
        decisions = page.get_by_role("region", name="Decisions")
        expect(decisions).to_contain_text(f"asked for by {CODE}")
        decisions.get_by_role("button", name="Show details").first.click()
    assert page.evaluate("window.pwned") is None


@pytest.mark.parametrize("path", ["/prod/flags/%3Cscript%3Ewindow.pwned=1%3C%2Fscript%3E", "/%7B"])
def test_addresses_that_are_code_are_text(operator: Visitor, path: str) -> None:
    page = operator.go(path)
    assert page.evaluate("window.pwned") is None
    operator.errors.clear()  # the browser says that the answers were 404


def test_without_a_token_nothing_is_seen(evil: None, browser: Browser, base: str) -> None:
    stranger = Visitor(browser, base)
    for path in ("/", "/prod", "/prod/flags/evil", "/_nicegui/x"):
        stranger.page.goto(base + path)
        text = stranger.page.inner_text("body")
        assert "Access token" in text
        assert "prod" not in text.replace("TIDEGATE", "")
    refused = stranger.page.evaluate(
        """() => new Promise((resolve) => {
            const url = location.href.replace("http", "ws").replace(/\\/[^/]*$/, "");
            const socket = new WebSocket(
                `ws://${location.host}/_nicegui_ws/socket.io/?EIO=4&transport=websocket`);
            socket.onopen = () => resolve(false);
            socket.onerror = () => resolve(true);
        })"""
    )
    assert refused
    stranger.page.get_by_label("Access token").fill("a-wrong-token-0123")
    stranger.page.get_by_role("button", name="Sign in").click()
    expect(stranger.page.get_by_role("alert")).to_have_text("This token opens nothing.")
    stranger.page.goto(f"{base}/prod/flags/evil?span=2h")
    stranger.page.get_by_label("Access token").fill(VIEW)
    stranger.page.get_by_role("button", name="Sign in").click()
    expect(stranger.page.get_by_role("heading", level=1)).to_have_text("evil")
    assert stranger.page.url == f"{base}/prod/flags/evil?span=2h"
    stranger.page.get_by_role("button", name="Sign out").click()
    expect(stranger.page.get_by_label("Access token")).to_be_visible()
    stranger.context.close()


def test_a_link_leaves_its_token_nowhere(viewer: Visitor, base: str) -> None:
    viewer.page.goto(f"{base}/prod?token={VIEW}&q=x")
    assert viewer.page.url == f"{base}/prod?q=x"
    assert VIEW not in viewer.page.content()
    cookies: Any = viewer.context.cookies()
    (session,) = [each for each in cookies if each["name"].startswith("tidegate_")]
    assert (session["httpOnly"], session["sameSite"]) == (True, "Strict")
    assert VIEW not in session["value"]


def test_who_may_look_can_change_nothing(
    evil: None, viewer: Visitor, browser: Browser, base: str, stack: Stack
) -> None:
    for path in ("/prod/flags/evil", "/prod/experiments/evil"):
        page = viewer.go(path)
        expect(page.get_by_text("read-only")).to_be_visible()
        for name in ("Change split", "Edit", "Kill", "Start", "Retry", "Abort"):
            expect(page.get_by_role("button", name=f"{name} …")).to_have_count(0)
    operator = Visitor(browser, base, token=OPERATE)
    theirs = operator.go("/prod/flags/evil")
    button = theirs.get_by_role("button", name="Kill …")
    number = int((button.get_attribute("id") or "").removeprefix("c"))
    client, listeners = theirs.evaluate(
        "(id) => [window.clientId, mounted_app.elements[id].events.map((e) => e.listener_id)]",
        number,
    )
    viewer.page.evaluate(
        """([id, client_id, listeners]) => listeners.forEach((listener_id) =>
            window.socket.emit("event", {id, client_id, listener_id, args: []}))""",
        [number, client, listeners],
    )
    log = stack.data_dir / "logs" / "dashboard.log"
    until(lambda: "event_refused" in log.read_text(), PATIENCE_MS / 1_000)
    expect(theirs.get_by_role("dialog")).to_have_count(0)
    button.click()
    expect(theirs.get_by_role("dialog")).to_be_visible()
    operator.context.close()


class Evil(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and says nothing."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def elsewhere(tmp_path: Path, base: str) -> Iterator[str]:
    """A page on another port of this machine, which tries what a page can try."""
    page = """<!doctype html><iframe src="BASE/prod"></iframe><script>
    const socket = new WebSocket("WS/_nicegui_ws/socket.io/?EIO=4&transport=websocket");
    const sockets = new Promise((tell) => {
        socket.onopen = () => tell("open"); socket.onerror = () => tell("refused"); });
    const post = fetch("BASE/logout", {method: "POST", mode: "no-cors", credentials: "include"});
    const read = fetch("BASE/prod", {credentials: "include"}).then(() => "read", () => "refused");
    Promise.allSettled([sockets, post, read]).then(([socket, , page]) => {
        window.result = [socket.value, page.value]; });
    </script>""".replace("BASE", base).replace("WS", base.replace("http", "ws"))
    (tmp_path / "index.html").write_text(page)
    handler = partial(Evil, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_another_site_reads_and_does_nothing(operator: Visitor, elsewhere: str, base: str) -> None:
    """Not even one on the same host, whose requests carry the cookie."""
    page = operator.open()
    page.goto(elsewhere)
    page.wait_for_function("window.result")
    assert page.evaluate("window.result") == ["refused", "refused"]
    framed = page.frames[1]
    assert framed.get_by_role("main").count() == 0, "no page of ours is shown in a frame"
    operator.errors.clear()  # the browser says what it refused
    operator.go("/prod")
    expect(operator.page.get_by_role("heading", level=1)).to_contain_text("Overview")


def test_inline_code_would_not_run(operator: Visitor) -> None:
    """What a hole in a page would open is closed by the policy."""
    page = operator.go("/prod")
    page.evaluate(
        """() => { const box = document.createElement("div");
            box.innerHTML = "<img src=x onerror='window.pwned=1'>";
            document.body.append(box);
            const script = document.createElement("script");
            script.textContent = "window.pwned=1"; document.body.append(script); }"""
    )
    page.wait_for_timeout(300)  # time for what must not run
    assert page.evaluate("window.pwned") is None
    assert any("Content Security Policy" in error for error in operator.errors)
    operator.errors.clear()

"""A rollout that is followed and steered in a browser, on a real stack with a controller."""

import os
import re
import signal

import grpc
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.dashboard.browser import Visitor
from tests.e2e.dashboard.traffic import Traffic
from tests.e2e.stack import Stack
from tidegate.v1 import experiment_service_pb2, experiment_service_pb2_grpc
from tidegate_server.cli.experiment_file import parse_experiment_file
from tidegate_server.wire.experiments import plan_to_message

PLAN = """
experiment: chat-v2
description: a newer model
labels: {team: platform}
flag: chat-model
control: v1
treatment: v2
guardrails:
  - {metric: error, max: 30%, window: 10s, min_events: 20, looks: 1 of 1}
  - {metric: latency_ms.p95, margin: 50%}
quality: {burn_in: 20}
stages:
  - {name: canary, share: 20%, bake: 2s}
  - {name: test, share: 50%, bake: 2s, approval: required}
  - {name: expand, share: 80%, bake: 1h}
  - {name: full, share: 100%}
interval: 1s
"""


@pytest.fixture(scope="module")
def draft(stack: Stack, busy: Traffic) -> None:
    """An experiment on the busy flag, of which v2 has nothing yet."""
    stack.split("chat-model", v1=100, v2=0)
    stack.apply_flag("search-ranking", lexical=40, neural=40, hybrid=20)
    stack.apply_flag("summary-length", short=90, long=10)
    plan = parse_experiment_file("plan", PLAN).plan
    with grpc.insecure_channel(stack.address) as channel:
        stub = experiment_service_pb2_grpc.ExperimentServiceStub(channel)
        request = experiment_service_pb2.CreateExperimentRequest(plan=plan_to_message(plan))
        stub.CreateExperiment(request, timeout=30)


STALE = re.compile(r"^stale since \d.*UTC: the server at .* (took|does not answer)")


def ask(page: Page, what: str, why: str = "") -> None:
    """Ask something of the experiment that is shown."""
    page.get_by_role("button", name=f"{what} …").click()
    dialog = page.get_by_role("dialog", name=f"{what} chat-v2?")
    dialog.get_by_label("Your name").fill("anna")
    dialog.get_by_label("Why").fill(why)
    dialog.get_by_role("button", name=what, exact=True).click()
    expect(dialog).to_be_hidden()


def test_a_rollout_is_started_approved_and_seen_rolled_back(
    draft: None, busy: Traffic, operator: Visitor, stack: Stack
) -> None:
    page = operator.go("/prod/experiments/chat-v2")
    page.evaluate("window.here = true")
    state = page.locator(".head .pill")
    expect(state).to_have_text("draft")
    ask(page, "Start", "the newer model is ready")
    expect(state).to_have_text("waits for approval")
    log = page.get_by_role("region", name="Decisions")
    expect(log).to_contain_text("canary is ready: v2 has 20 %")
    here = page.get_by_role("list", name="Stages").locator("li[aria-current=step]")
    expect(here).to_contain_text("test")
    expect(here).to_contain_text("somebody approves")
    expect(page.get_by_role("button", name="Resume …")).to_be_hidden()
    operator.picture("experiment")
    ask(page, "Approve", "looks good")
    expect(here).to_contain_text("expand")
    expect(state).to_have_text("observing")
    expect(page.get_by_role("main")).to_contain_text("v2 has 80 % of the units")

    busy.errors["v2"] = 1.0
    expect(state).to_have_text("rolled back")
    reason = re.compile(r"error is \d.* over the last 10s; at most 0.3 is allowed")
    expect(page.locator(".head .why")).to_contain_text(reason)
    expect(log.get_by_text("approve, asked for by anna: looks good")).to_be_visible()
    back = log.locator("tr", has_text="roll back").first
    expect(back).to_contain_text("80 % → 0 %")
    expect(back).to_contain_text(reason)
    back.get_by_role("button", name="Show details").click()
    details = page.get_by_role("region", name="Figures of decision")
    expect(details.locator('tr:has-text("ceiling error")')).to_contain_text("limit 30%")
    assert page.evaluate("window.here"), "all of it without a reload"
    attempts = operator.go("/prod/experiments/chat-v2").get_by_role("region", name="Failed")
    expect(attempts).to_contain_text(reason)
    operator.picture("rollback")
    overview = operator.go("/prod")
    line = overview.locator('tr[data-key="chat-v2"]')
    expect(line).to_contain_text("rolled back")
    expect(line).to_contain_text("0 %")
    expect(line).to_contain_text(reason)
    operator.picture("overview")


def test_a_request_that_comes_too_late_is_refused(
    draft: None, busy: Traffic, operator: Visitor, stack: Stack
) -> None:
    """The experiment is begun anew by somebody else while the dialog is open."""
    busy.errors.clear()  # it must not be rolled back again before the page has shown that it runs
    page = operator.go("/prod/experiments/chat-v2")
    page.get_by_role("button", name="Retry …").click()
    dialog = page.get_by_role("dialog", name="Retry chat-v2?")
    dialog.get_by_role("button", name="Retry", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("Say who asks")
    with grpc.insecure_channel(stack.address) as channel:
        stub = experiment_service_pb2_grpc.ExperimentServiceStub(channel)
        request = experiment_service_pb2.RetryExperimentRequest(key="chat-v2", actor="ben")
        stub.RetryExperiment(request, timeout=30)
    expect(page.locator(".head .pill")).not_to_have_text("rolled back")
    dialog.get_by_label("Your name").fill("anna")
    dialog.get_by_role("button", name="Retry", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("moved on")


def test_a_server_that_is_lost_is_said_and_found_again(
    busy: Traffic, operator: Visitor, stack: Stack
) -> None:
    page = operator.go("/prod/flags/chat-model")
    page.evaluate("window.here = true")
    fresh = page.locator(".fresh")
    expect(fresh).to_have_text("live")
    server = stack.pid("server")
    os.kill(server, signal.SIGSTOP)
    try:
        expect(fresh).to_contain_text(STALE)
        expect(page.get_by_role("main")).to_have_class(re.compile("stale"))
    finally:
        os.kill(server, signal.SIGCONT)
    expect(fresh).to_have_text("live")
    expect(page.get_by_role("main")).not_to_have_class(re.compile("stale"))
    stack.kill("server")
    stack.read_until("server: runs again as process")
    expect(fresh).to_have_text("live")
    stack.apply_flag("after-the-fall", a=100)
    overview = operator.go("/prod")
    expect(overview.get_by_role("link", name="after-the-fall")).to_be_visible()


def test_a_dashboard_that_is_lost_is_said_and_found_again(operator: Visitor, stack: Stack) -> None:
    page = operator.go("/prod")
    popup = page.get_by_text("Connection lost")
    stack.kill("dashboard")
    while not popup.is_visible():  # it may be back before the page misses it
        stack.read_until("dashboard: runs again as process")
        stack.kill("dashboard")
    stack.read_until("dashboard: runs again as process")
    expect(popup).to_be_hidden()
    expect(page.locator(".fresh")).to_have_text("live")
    stack.apply_flag("after-another-fall", a=100)
    expect(page.get_by_role("link", name="after-another-fall")).to_be_visible()
    operator.errors.clear()  # the browser says that the connection was refused

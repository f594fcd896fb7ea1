"""Pages of a real stack under load, as a browser shows them."""

import re
import time
import urllib.request
from collections.abc import Mapping

import grpc
import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from prometheus_client.parser import text_string_to_metric_families

import tidegate
from tests.e2e import calls
from tests.e2e.dashboard.browser import OPERATE, PATIENCE_MS, PHONE, Visitor, row
from tests.e2e.dashboard.traffic import Traffic
from tests.e2e.stack import Stack
from tidegate.v1 import flag_service_pb2, flag_service_pb2_grpc, report_service_pb2
from tidegate_server import report_text
from tidegate_server.report_text import number

FLAG = "/prod/flags/chat-model"
STAMP = re.compile(r"\d+ [A-Z][a-z]{2} \d\d:\d\d:\d\d UTC")


def until(page: Page, script: str, *arguments: object) -> None:
    """Wait for a script to be true in the page."""
    page.wait_for_function(script, arg=list(arguments), timeout=PATIENCE_MS)


def test_without_anything_pages_say_what_to_do_next(stack: Stack, operator: Visitor) -> None:
    page = operator.go("/prod")
    expect(page.get_by_text("tidegate flag apply flag.yaml")).to_be_visible()
    expect(page.get_by_text("tidegate experiment start plan.yaml")).to_be_visible()
    expect(page.get_by_role("status").first).to_have_text("live")
    stack.apply_flag("quiet", a=100)
    expect(page.get_by_role("link", name="quiet")).to_be_visible()
    page = operator.go("/prod/flags/quiet")
    expect(page.get_by_text("choice.track(latency_ms=120)")).to_be_visible()


def test_figures_move_without_a_reload(busy: Traffic, operator: Visitor) -> None:
    page = operator.go(FLAG)
    page.evaluate("window.here = true")
    exposures = page.locator('tr[data-key="v1"]').first.locator("td").nth(2)
    expect(exposures).not_to_have_text("0")
    before = exposures.inner_text()
    expect(exposures).not_to_have_text(before)
    assert page.evaluate("window.here"), "the page is the one that was opened"
    for label in ("Latency, ms", "Requests a second", "Error rate", "User satisfaction", "Cost"):
        chart = page.get_by_role("img", name=label)
        until(
            page,
            "([id]) => document.getElementById(id).querySelectorAll('svg path').length > 3",
            chart.get_attribute("id"),
        )
    recent = row(page, "In the last moments", "v2")
    assert recent[0] == "v2"
    assert "live" in page.get_by_role("status").first.inner_text()


Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def samples(stack: Stack) -> Samples:
    """Return the server's metrics, by name and labels."""
    with urllib.request.urlopen(stack.roles()["server"]["metrics"], timeout=30) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_figures_equal_the_reports_and_the_samples(
    busy: Traffic, stack: Stack, operator: Visitor
) -> None:
    page = operator.go(FLAG)
    busy.hold()
    try:
        report = settled(stack)
        for variant in report.variants:
            expected = report_text.variant_cells(report, variant)
            cells = page.locator(f'tr[data-key="{variant.variant}"]').first.locator("td")
            for place, text in enumerate(expected):
                expect(cells.nth(place)).to_have_text(text)
            told = dict(zip(report_text.variant_columns(report), expected, strict=True))
            assert sampled(stack, variant) == {name: told[name] for name in SAMPLED}
        page = operator.go(f"{FLAG}/analysis")
        for comparison in report.comparisons:
            if comparison.HasField("estimate"):
                key = f"{comparison.treatment} {report_text.metric(comparison)}"
                shown = row(page, "Comparisons with v1", key)
                figures = report_text.comparison_cells(comparison)
                assert [*shown[2:6], *shown[7:10]] == figures
        operator.picture("analysis")
    finally:
        busy.go_on()


ALIKE = 10
"""So many reports in a row must be the same: three seconds of them."""


def settled(stack: Stack) -> report_service_pb2.Report:
    """Return a report that stays as it is: nothing is on its way any more."""
    before, alike = calls.report(stack.address, "chat-model"), 0
    for _ in range(100):
        time.sleep(0.3)  # runs of the worker are less than that apart, but on a busy machine
        report = calls.report(stack.address, "chat-model")
        alike = alike + 1 if report.variants == before.variants else 0
        if alike == ALIKE:
            return report
        before = report
    raise AssertionError("figures go on moving")


SAMPLED = ("units", "error rate", "p50 ms", "p95 ms", "p99 ms", "rating")


def sampled(stack: Stack, variant: report_service_pb2.VariantReport) -> Mapping[str, str]:
    """Return a variant's samples, written as figures; the server keeps them for some seconds."""
    labels = {"flag": "chat-model", "variant": variant.variant}

    def sample(name: str, **more: str) -> float:
        return known[f"tidegate_{name}", frozenset({**labels, **more}.items())]

    for _ in range(100):
        known = samples(stack)
        events = {sample("outcome_events", outcome=each.outcome) for each in variant.outcomes}
        if events == {each.count for each in variant.outcomes}:
            break
        time.sleep(0.2)  # no event tells of new samples
    return {
        "units": f"{sample('variant_units'):,.0f}",
        "error rate": f"{sample('variant_error_ratio'):.2%}",
        **{
            f"{name} ms": number(sample(f"outcome_{name}", outcome="latency_ms"))
            for name in ("p50", "p95", "p99")
        },
        "rating": number(sample("outcome_mean", outcome="rating")),
    }


def test_a_split_is_previewed_then_changed(busy: Traffic, operator: Visitor, stack: Stack) -> None:
    page = operator.go(FLAG)
    expect(page.locator('tr[data-key="v1"]').first.locator("td").nth(2)).not_to_have_text("0")
    page.get_by_role("button", name="Change split").click()
    dialog = page.get_by_role("dialog", name="Split of chat-model")
    apply = dialog.get_by_role("button", name="Apply")
    expect(apply).to_be_disabled()
    dialog.get_by_label("v1").fill("40")
    expect(dialog.get_by_role("alert")).to_contain_text("add up to 90%")
    dialog.get_by_label("v2").fill("60")
    expect(dialog.get_by_text("v1 → v2: 10 % of the units")).to_be_visible()
    expect(dialog.get_by_text(re.compile("about .* seen so far"))).to_be_visible()
    expect(dialog.get_by_role("alert")).to_have_text("")
    operator.picture("split")
    apply.click()
    expect(page.get_by_text("10 % of the units moved")).to_be_visible()
    table = page.get_by_role("region", name="Changes of this flag")
    expect(table.get_by_text("v1 40 %, v2 60 %").first).to_be_visible()
    stack.split("chat-model", v1=50, v2=50)
    expect(table.get_by_text("v1 50 %, v2 50 %").first).to_be_visible()


def open_split(page: Page, key: str, first: str, second: str) -> Locator:
    """Ask for another split of a flag with variants a and b, and wait until it can be applied."""
    page.get_by_role("button", name="Change split").click()
    dialog = page.get_by_role("dialog", name=f"Split of {key}")
    dialog.get_by_label("a", exact=True).fill(first)
    dialog.get_by_label("b", exact=True).fill(second)
    expect(dialog.get_by_role("button", name="Apply")).to_be_enabled()
    return dialog


def told_of(stack: Stack, what: str) -> list[tuple[str, str]]:
    """Return what the dashboard's log says came of an action: the event, and its line."""
    log = (stack.data_dir / "logs" / "dashboard.log").read_text()
    return [(line.split("] ", 1)[1].split()[0], line) for line in log.splitlines() if what in line]


def test_only_what_was_shown_is_applied(operator: Visitor, stack: Stack) -> None:
    """Whoever types and presses the button in one breath has not seen who would move."""
    stack.apply_flag("hasty", a=100, b=0)
    page = operator.go_to_flag("hasty")
    dialog = open_split(page, "hasty", "90", "10")
    fields = [dialog.get_by_label(name, exact=True).element_handle() for name in "ab"]
    button = dialog.get_by_role("button", name="Apply")
    page.evaluate(
        """([fields, button]) => {
            fields.forEach((field) => {
                field.value = "50"; field.dispatchEvent(new Event("input", {bubbles: true})); });
            setTimeout(() => button.click(), 50); }""",  # before it is asked who would move
        [fields, button.element_handle()],
    )
    expect(dialog.get_by_text("a → b: 50 % of the units")).to_be_visible()
    button.click()
    changes = page.get_by_role("region", name="Changes of this flag")
    expect(changes.get_by_text("a 50 %, b 50 %").first).to_be_visible()
    assert [outcome for outcome, _ in told_of(stack, "split of hasty")] == ["refused", "done"]


def test_a_double_click_is_one(operator: Visitor, stack: Stack) -> None:
    """The second click comes while the dialog fades, when the first one's change is made."""
    stack.apply_flag("doubled", a=100, b=0)
    page = operator.go_to_flag("doubled")
    button = open_split(page, "doubled", "90", "10").get_by_role("button", name="Apply")
    button.evaluate(
        """(button) => new Promise((done) => {
            button.click(); setTimeout(() => { button.click(); done(); }, 200); })"""
    )
    open_split(page, "doubled", "80", "20").get_by_role("button", name="Apply").click()
    changes = page.get_by_role("region", name="Changes of this flag")
    expect(changes.get_by_text("a 80 %, b 20 %").first).to_be_visible()
    told = told_of(stack, "split of doubled")
    assert [outcome for outcome, _ in told] == ["done", "done"], told


def test_a_flag_that_changes_or_goes_is_shown_so(operator: Visitor, stack: Stack) -> None:
    flag = stack.apply_flag("going", a=100, b=0)
    page = operator.go_to_flag("going")
    legend = page.locator(".legend").first
    expect(legend).not_to_contain_text("third")
    flag.variants.add(key="third")
    with grpc.insecure_channel(stack.address) as channel:
        stub = flag_service_pb2_grpc.FlagServiceStub(channel)
        stub.UpdateFlag(flag_service_pb2.UpdateFlagRequest(flag=flag), timeout=30)
        expect(legend).to_contain_text("third")
        expect(page.get_by_role("button", name="Kill …")).to_be_visible()
        stub.DeleteFlag(flag_service_pb2.DeleteFlagRequest(key="going"), timeout=30)
    expect(page.locator(".head .pill")).to_have_text("deleted")
    expect(page.get_by_role("button", name="Kill …")).to_be_hidden()


def test_an_analysis_grows_with_its_outcomes(operator: Visitor, stack: Stack) -> None:
    stack.apply_flag("unheard", a=100)
    page = operator.go_to_flag("unheard", "/analysis")
    page.evaluate("window.here = true")
    expect(page.get_by_text("No outcome was reported yet")).to_be_visible()
    expect(page.locator(".chart")).to_have_count(0)
    with tidegate.Client(stack.address) as client:
        assert client.wait_ready(30)
        client.assign("unheard", "anna").track(tokens=12)
    chart = page.get_by_role("img", name="tokens: share of the events by value")
    expect(chart).to_be_visible()
    expect(page.get_by_role("link", name="tokens")).to_have_attribute("aria-current", "true")
    assert page.evaluate("window.here"), "the page is the one that was opened"


def test_the_last_moments_are_shown_whatever_the_span(busy: Traffic, operator: Visitor) -> None:
    page = operator.go(f"{FLAG}?span=7d")
    table = page.get_by_role("region", name="In the last moments")
    rate = table.locator('tr[data-key="v1"]').locator("td").first
    expect(rate).to_have_text(re.compile(r"\d"))


def test_a_flag_is_edited_as_text(operator: Visitor, stack: Stack) -> None:
    stack.apply_flag("edited", a=100, b=0)
    page = operator.go_to_flag("edited")
    page.get_by_role("button", name="Edit").click()
    dialog = page.get_by_role("dialog", name="Edit edited")
    text = dialog.get_by_label("Flag file")
    file = text.input_value()
    text.fill(file + "descripton: x\n")
    expect(dialog.get_by_role("alert")).to_contain_text("did you mean 'description'?")
    expect(dialog.get_by_role("button", name="Apply")).to_be_disabled()
    rule = "rules:\n  - {name: staff, when: [{attribute: team, in: [eval]}], serve: b}\n"
    text.fill(file + rule)
    expect(dialog.get_by_text("+ rules.staff:")).to_be_visible()
    dialog.get_by_role("button", name="Apply").click()
    targeting = page.get_by_role("region", name="Targeting")
    expect(targeting.get_by_text("team in 'eval'")).to_be_visible()


def test_a_flag_is_killed_and_revived_after_a_question(operator: Visitor, stack: Stack) -> None:
    stack.apply_flag("doomed", a=100, b=0)
    page = operator.go_to_flag("doomed")
    for verb, state in (("Kill", "killed"), ("Revive", "on")):
        page.get_by_role("button", name=f"{verb} …").click()
        dialog = page.get_by_role("dialog", name=f"{verb} doomed?")
        expect(dialog).to_be_visible()
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        page.get_by_role("button", name=f"{verb} …").click()
        dialog.get_by_role("button", name=f"{verb} the flag").click()
        expect(page.locator(".head .pill")).to_have_text(state)


def test_a_flag_found_by_name_is_a_link_that_can_be_shared(
    busy: Traffic, operator: Visitor, browser: Browser, base: str
) -> None:
    page = operator.go("/prod")
    page.get_by_role("searchbox", name="Find a flag").fill("chat")
    expect(page.get_by_role("link", name="quiet")).to_have_count(0)
    expect(page.get_by_text(re.compile(r"^1 of \d+$"))).to_be_visible()
    assert page.url.endswith("/prod?q=chat")
    other = Visitor(browser, base, token=OPERATE)
    shared = other.go(page.url.removeprefix(base))
    expect(shared.get_by_role("link", name="chat-model")).to_be_visible()
    expect(shared.get_by_role("link", name="quiet")).to_have_count(0)
    shared.get_by_role("link", name="chat-model").click()
    shared.get_by_role("link", name="2h").click()
    expect(shared.get_by_role("link", name="2h")).to_have_attribute("aria-current", "true")
    assert shared.url == f"{base}{FLAG}?span=2h"
    other.context.close()


def test_times_are_in_the_zone_that_is_named(busy: Traffic, operator: Visitor) -> None:
    page = operator.go(FLAG)
    facts = page.locator(".head .quiet").first
    expect(facts).to_contain_text(STAMP)
    page.get_by_role("button", name="Times in UTC").click()
    expect(page.get_by_role("button", name="Times in Asia/Tokyo")).to_be_visible()
    expect(page.locator(".head .quiet").first).to_contain_text(re.compile(r"\d\d:\d\d:\d\d JST"))


@pytest.mark.parametrize("dark", [False, True])
def test_dark_and_light_follow_the_system_and_the_button(
    browser: Browser, base: str, busy: Traffic, dark: bool
) -> None:
    visitor = Visitor(browser, base, token=OPERATE, dark=dark)
    page = visitor.go(FLAG)
    background = "getComputedStyle(document.body).backgroundColor"
    is_dark = "() => document.body.classList.contains('body--dark')"
    assert page.evaluate(is_dark) is dark
    before = page.evaluate(background)
    if dark:
        until(page, "() => document.querySelectorAll('.chart svg path').length > 20")
        visitor.picture("flag-dark")
    page.get_by_role("button", name="Dark / light").click()
    until(page, f"([before]) => {background} !== before", before)
    page.reload()
    page.wait_for_selector("main h1")
    assert page.evaluate(is_dark) is not dark, "the choice is kept"
    visitor.context.close()


def test_pages_fit_a_phone(browser: Browser, base: str, busy: Traffic) -> None:
    visitor = Visitor(browser, base, token=OPERATE, size=PHONE)
    for path in ("/prod", FLAG, f"{FLAG}/analysis"):
        page = visitor.go(path)
        page.wait_for_selector(".grid table")
        width = page.evaluate("document.scrollingElement.scrollWidth")
        assert width <= PHONE[0], f"{path} is {width} wide"
    visitor.context.close()


def test_all_can_be_reached_by_keyboard(busy: Traffic, operator: Visitor) -> None:
    page = operator.go(FLAG)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to main content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.tagName") == "MAIN"
    names = []
    for _ in range(8):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.textContent.trim()"))
    assert "Change split …" in names
    page.get_by_role("button", name="Change split").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Split of chat-model")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_label("v1")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_pages_tell_screen_readers_what_they_are(busy: Traffic, operator: Visitor) -> None:
    page = operator.go(FLAG)
    expect(page.get_by_role("main", name="Flag chat-model")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("chat-model")
    table = page.get_by_role("region", name="Variants in phase").get_by_role("table")
    expect(table.get_by_role("columnheader", name="p95 ms")).to_be_attached()
    expect(table.get_by_role("rowheader", name="v1 (default)")).to_be_visible()
    unnamed = page.evaluate(
        "() => [...document.querySelectorAll('button, a, input, textarea')]"
        ".filter((e) => e.checkVisibility() && !e.textContent.trim() && !e.ariaLabel"
        " && !e.labels?.length && e.type !== 'hidden').map((e) => e.outerHTML)"
    )
    assert unnamed == []
    assert page.evaluate("document.documentElement.lang") == "en-US"


def test_what_is_not_there_is_said(operator: Visitor) -> None:
    for path, words in (
        ("/prod/flags/none", "There is no flag 'none' in 'prod'."),
        ("/prod/experiments/none", "There is no experiment 'none' in 'prod'."),
        ("/staging", "There is no environment 'staging'."),
    ):
        page = operator.go(path)
        expect(page.get_by_text(words)).to_be_visible()
    operator.errors.clear()  # the browser says that the answers were 404


def test_nothing_is_fetched_from_elsewhere(busy: Traffic, operator: Visitor, base: str) -> None:
    for path in ("/prod", FLAG, f"{FLAG}/analysis"):
        operator.go(path)
    own = (base, base.replace("http", "ws"), "data:")
    assert [url for url in operator.requests if not url.startswith(own)] == []
    assert len(operator.requests) > 10

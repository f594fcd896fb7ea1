"""Rules, kill switch, sessions and tokens, from the flag file to the report."""

import subprocess
import sys
from pathlib import Path

import grpc

import tidegate
from tests.e2e.stack import Stack
from tests.waiting import until
from tidegate import Reason
from tidegate.v1 import report_service_pb2, report_service_pb2_grpc

SEGMENT = """\
segment: beta-testers
include: [user-7]
rules:
  - when: [{attribute: app, version_greater_or_equal: 2.0.0-beta}]
"""
FLAG = """\
flag: assistant
default: v1
variants:
  v1: {model: small}
  v2: {model: large}
split: {v1: 50%, v2: 50%}
rules:
  - {name: beta, when: [{segment: beta-testers}], serve: v2}
"""
SECONDS = 20.0


def variants(stack: Stack) -> dict[str, report_service_pb2.VariantReport]:
    """Return the report of each variant."""
    with grpc.insecure_channel(stack.address) as channel:
        stub = report_service_pb2_grpc.ReportServiceStub(channel)
        request = report_service_pb2.GetReportRequest(flag_key="assistant")
        return {each.variant: each for each in stub.GetReport(request).report.variants}


def counts(stack: Stack, outcome: str) -> int:
    """Return how many outcomes of a name the report counts."""
    return sum(
        each.count
        for variant in variants(stack).values()
        for each in variant.outcomes
        if each.outcome == outcome
    )


def test_from_the_flag_file_to_the_report(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "segment.yaml").write_text(SEGMENT)
    (tmp_path / "flag.yaml").write_text(FLAG)
    stack.cli("segment", "apply", str(tmp_path / "segment.yaml"))
    stack.cli("flag", "apply", str(tmp_path / "flag.yaml"))
    with tidegate.Client(stack.address) as client:
        assert client.wait_ready(SECONDS)

        tester = client.assign("assistant", "user-7")
        newer = client.assign("assistant", "user-8", {"app": "2.1.0"})
        assert {(each.variant, each.reason) for each in (tester, newer)} == {("v2", Reason.RULE)}
        tester.track(rating=5)  # by a rule, not by chance: it must be in no comparison
        plain = next(
            choice
            for number in range(100)
            if (choice := client.assign("assistant", f"unit-{number}")).variant == "v1"
        )
        plain.track(rating=3)
        until(lambda: client.flush(1) and counts(stack, "rating") == 1)
        until(lambda: variants(stack)["v2"].outside_split_events == 3)

        elsewhere = (
            "import sys, tidegate\n"
            "with tidegate.Client(sys.argv[1]) as client:\n"
            "    client.track('solved', 1, sys.argv[2])\n"
            "    sys.exit(0 if client.flush(20) else 1)\n"
        )
        words = [sys.executable, "-c", elsewhere, stack.address, plain.token]
        assert subprocess.run(words, timeout=60, check=False).returncode == 0
        until(lambda: counts(stack, "solved") == 1)
        (solved,) = [each for each in variants(stack)["v1"].outcomes if each.outcome == "solved"]
        assert solved.count == 1

        pinned = client.assign("assistant", plain.unit_id, session_id="talk-1")
        assert (pinned.variant, pinned.reason) == ("v1", Reason.SPLIT)
        stack.cli("flag", "split", "assistant", "v1=1", "v2=99")
        until(lambda: client.assign("assistant", plain.unit_id).revision > plain.revision)
        kept = client.assign("assistant", plain.unit_id, session_id="talk-1")
        assert (kept.variant, kept.phase) == ("v1", plain.phase)
        explained = stack.cli("explain", "assistant", "user-7").stdout
        assert "beta-testers" in explained

        stack.cli("flag", "kill", "assistant")
        until(lambda: client.assign("assistant", "user-7").reason is Reason.KILLED)
        gone = client.assign("assistant", plain.unit_id, session_id="talk-1")
        assert (gone.variant, gone.reason) == ("v1", Reason.KILLED)

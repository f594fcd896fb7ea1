"""What users see when something is missing or wrong: answers and plain words."""

from pathlib import Path

import pytest

import tidegate
from tests.e2e.stack import Stack, free_port, running_stack
from tests.e2e.stack import tidegate as command


def test_assignments_go_on_when_the_server_is_gone(tmp_path: Path) -> None:
    with running_stack(tmp_path) as stack:
        stack.apply_flag("outage", v1=50, v2=50)
        client = tidegate.Client(stack.address)
        assert client.wait_ready(30)
        before = [client.assign("outage", f"user-{number}").variant for number in range(1_000)]
    after = [client.assign("outage", f"user-{number}") for number in range(1_000)]
    client.close(timeout=0.5)
    assert [assignment.variant for assignment in after] == before
    assert {assignment.reason for assignment in after} == {tidegate.Reason.SPLIT}


def test_unknown_flag_gives_the_callers_default_and_a_reason(stack: Stack) -> None:
    with tidegate.Client(stack.address) as client:
        assert client.wait_ready(30)
        choice = client.assign("no-such-flag", "user-1", default={"model": "fallback"})
    assert choice.reason is tidegate.Reason.FLAG_NOT_FOUND
    assert dict(choice.value) == {"model": "fallback"}


GOOD = """\
flag: chat-model
default: v1
variants:
  v1: {model: llama-3.1-8b}
  v2: {model: llama-3.3-8b}
split: {v1: 95%, v2: 5%}
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("5%}", "4%}"), ["flag.yaml:6", "split", "99%", "100%"]),
        (GOOD.replace("default: v1", "defualt: v1"), ["flag.yaml:2", "defualt", "default"]),
        (GOOD + "rules: [", ["flag.yaml:"]),
        (GOOD.replace("v2: 5%", "v3: 5%"), ["flag.yaml:6", "v3"]),
    ],
    ids=["sum", "unknown field", "syntax", "unknown variant"],
)
def test_a_wrong_file_is_named_with_line_and_fix(
    stack: Stack, tmp_path: Path, text: str, words: list[str]
) -> None:
    file = tmp_path / "flag.yaml"
    file.write_text(text)
    done = stack.cli("flag", "apply", str(file), ok=False)
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_a_split_that_does_not_add_up_says_by_how_much(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "flag.yaml").write_text(GOOD)
    stack.cli("flag", "apply", str(tmp_path / "flag.yaml"))
    done = stack.cli("flag", "split", "chat-model", "v1=75", "v2=20", ok=False)
    assert "95%" in done.stderr
    assert "add 5%" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_address_names_it_and_what_to_do() -> None:
    address = f"127.0.0.1:{free_port()}"
    done = command("flag", "list", env={"TIDEGATE_SERVER": address})
    assert done.returncode == 1
    assert address in done.stderr
    assert "tidegate up" in done.stderr
    assert "Traceback" not in done.stderr

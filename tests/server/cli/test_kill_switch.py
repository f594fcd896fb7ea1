"""The kill switch against a real server."""

from pathlib import Path

import grpc
import pytest

from tests.server.cli.conftest import Cli
from tests.server.cli.test_flags import FLAG
from tidegate.v1 import flag_service_pb2, flag_service_pb2_grpc
from tidegate_server.cli import flag_calls, kill_switch
from tidegate_server.cli.connection import Stubs


@pytest.fixture
def key(request: pytest.FixtureRequest, tidegate: Cli, tmp_path: Path) -> str:
    """Key of a flag of the test's own, which exists."""
    key = str(request.node.originalname).replace("_", "-")[:100]
    file = tmp_path / "flag.yaml"
    file.write_text(FLAG.format(key=key))
    assert tidegate("flag", "apply", str(file))[0] == 0
    return key


def variant(tidegate: Cli, key: str) -> str:
    _, out, _ = tidegate("explain", key, "anna", "-a", "team=eval")
    return out.splitlines()[0]


def test_a_killed_flag_gives_its_default_until_it_is_revived(tidegate: Cli, key: str) -> None:
    assert variant(tidegate, key).endswith(": RULE")
    code, out, _ = tidegate("flag", "kill", key)
    assert code == 0
    assert out.startswith(f"killed flag {key} at revision ")
    assert out.endswith(": everyone is given v1\n")
    assert "is given v1" in variant(tidegate, key)
    assert variant(tidegate, key).endswith(": KILLED")
    code, out, _ = tidegate("flag", "revive", key)
    assert (code, out.startswith(f"revived flag {key} at revision ")) == (0, True)
    assert variant(tidegate, key).endswith(": RULE")


def test_killing_twice_changes_nothing(tidegate: Cli, key: str) -> None:
    tidegate("flag", "kill", key)
    code, out, _ = tidegate("flag", "kill", key)
    assert (code, out.startswith(f"flag {key} is killed already, at revision ")) == (0, True)
    tidegate("flag", "revive", key)
    _, out, _ = tidegate("flag", "revive", key)
    assert out.startswith(f"flag {key} is not killed already")


def test_a_flag_that_is_not_there_is_named(tidegate: Cli) -> None:
    code, _, err = tidegate("flag", "kill", "no-such-flag-at-all")
    assert code == 1
    assert err.startswith("error: flag 'no-such-flag-at-all' is not known")


def test_others_changes_do_not_get_in_the_way(
    tidegate: Cli, key: str, server_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody ramps the flag between the reading and the switching."""
    read = flag_calls.get_flag

    def read_and_ramp(stubs: Stubs, key: str) -> object:
        flag = read(stubs, key)
        monkeypatch.setattr(kill_switch, "get_flag", read)
        with grpc.insecure_channel(server_address) as channel:
            stub = flag_service_pb2_grpc.FlagServiceStub(channel)
            request = flag_service_pb2.UpdateSplitRequest(key=key, split=flag.split)
            request.split[0].share_ppm, request.split[1].share_ppm = 500_000, 500_000
            stub.UpdateSplit(request, timeout=5)
        return flag

    monkeypatch.setattr(kill_switch, "get_flag", read_and_ramp)
    code, out, _ = tidegate("flag", "kill", key)
    assert (code, out.startswith(f"killed flag {key}")) == (0, True)
    _, out, _ = tidegate("flag", "get", key)
    assert out.count("50 %") == 2
    assert "killed" in out

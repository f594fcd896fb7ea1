"""The replica commands against a real server."""

from pathlib import Path

import grpc
import pytest

from tests.server.cli.conftest import Cli
from tests.server.cli.test_flags import FLAG
from tidegate.v1 import replica_service_pb2 as messages
from tidegate.v1 import replica_service_pb2_grpc


@pytest.fixture
def flag(tidegate: Cli, tmp_path: Path) -> str:
    """A flag that no other test uses."""
    key = "with-replicas"
    file = tmp_path / "flag.yaml"
    file.write_text(FLAG.format(key=key))
    assert tidegate("flag", "apply", str(file))[0] == 0
    return key


def register(address: str, flag: str, *replicas: messages.Replica) -> None:
    with grpc.insecure_channel(address) as channel:
        stub = replica_service_pb2_grpc.ReplicaServiceStub(channel)
        for each in replicas:
            each.flag_key = flag
            each.address = f"{each.id}:8000"
            stub.RegisterReplica(messages.RegisterReplicaRequest(replica=each))


def test_replicas_are_listed_drained_and_put_back(
    tidegate: Cli, server_address: str, flag: str
) -> None:
    register(
        server_address,
        flag,
        messages.Replica(
            id=f"{flag}-1", variant="v1", state=messages.REPLICA_STATE_READY, load=0.5, fixed=True
        ),
        messages.Replica(id=f"{flag}-2", state=messages.REPLICA_STATE_FAILED, problem="no memory"),
    )
    code, out, err = tidegate("replica", "drain", f"{flag}-1")
    assert (code, err) == (0, "")
    assert out == (
        f"drained replica {flag}-1: it takes no new traffic, and is told to load nothing\n"
    )
    code, out, err = tidegate("replica", "list", flag)
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines() if flag in line]
    one, two = ([word for word in row if word != "│"] for row in rows)
    assert one[:6] == [f"{flag}-1", flag, "v1", "ready", "0.50", f"{flag}-1:8000"]
    assert one[-2:] == ["drained;", "fixed"]
    assert two[2:4] == ["none", "failed"]
    assert two[-2:] == ["no", "memory"]
    assert tidegate("replica", "undrain", f"{flag}-1")[1] == f"put replica {flag}-1 back\n"
    code, out, _ = tidegate("replica", "list")
    assert f"{flag}-2" in out
    assert "drained" not in "".join(line for line in out.splitlines() if f"{flag}-1" in line)


def test_without_replicas_it_says_how_they_come(tidegate: Cli) -> None:
    code, out, _ = tidegate("replica", "list", "nobody")
    assert code == 0
    assert out == (
        "flag nobody has no replicas: model servers register by a tidegate.replicas.Agent\n"
    )


def test_who_is_not_known_is_named(tidegate: Cli) -> None:
    code, _, err = tidegate("replica", "drain", "nobody")
    assert code == 1
    assert err.startswith("error: replica 'nobody' is not known")

"""A replica's side, with a real server at the other end."""

import logging
import subprocess
import sys
import threading
from collections.abc import Mapping
from time import monotonic
from typing import Any

import grpc
import pytest

import tidegate
from tests.sdk.fake_server import FakeServer
from tests.sdk.replicas.fake_replicas import (
    DRAINING,
    FAILED,
    LOADING,
    READY,
    FakeReplicas,
)
from tests.waiting import until
from tidegate.replicas import Agent, AgentState

VALUE = {"model": "llama", "size": 8}


class Model:
    """What an agent loads and unloads: a test says when, and whether it works."""

    def __init__(self) -> None:
        self.said: list[tuple[str, object]] = []
        self.may_end = threading.Event()
        self.may_end.set()
        self.problem = ""

    def load(self, variant: str, value: Mapping[str, Any]) -> None:
        self.said.append((f"load {variant}", dict(value)))
        assert self.may_end.wait(10)
        if self.problem:
            raise MemoryError(self.problem)

    def unload(self, variant: str) -> None:
        self.said.append((f"unload {variant}", None))


def agent_of(server: FakeServer, **more: Any) -> Agent:
    given = {"id": "gpu-1", "flag": "chat-model", "address": "10.0.0.7:8000", "variant": "v1"}
    return Agent(server.address, **given | more)


def last(replicas: FakeReplicas) -> tuple[int, str]:
    """Return state and variant as last heard of."""
    beat = replicas.beats[-1] if replicas.beats else None
    return (0, "") if beat is None else (beat.state, beat.variant)


def test_it_registers_is_heard_and_deregisters(server: FakeServer, replicas: FakeReplicas) -> None:
    with agent_of(server, capacity=4) as agent:
        assert agent.wait_registered(10)
        replicas.until(lambda: len(replicas.beats) >= 2)
        (registered,) = replicas.registered
        assert (registered.id, registered.flag_key) == ("gpu-1", "chat-model")
        assert (registered.address, registered.capacity) == ("10.0.0.7:8000", 4)
        assert (registered.state, registered.variant, registered.fixed) == (READY, "v1", True)
        assert replicas.beats[-1].id == "gpu-1"
        assert last(replicas) == (READY, "v1")
        assert replicas.gone == []
    assert replicas.gone == ["gpu-1"]
    assert not [each for each in threading.enumerate() if each.name == "tidegate-agent"]


def test_its_load_is_what_is_under_way_by_its_capacity(
    server: FakeServer, replicas: FakeReplicas
) -> None:
    with agent_of(server, capacity=4) as agent:
        with agent.request(), agent.request():
            replicas.until(lambda: bool(replicas.beats) and replicas.beats[-1].load == 0.5)
        replicas.until(lambda: replicas.beats[-1].load == 0)


def test_or_what_the_application_says(
    server: FakeServer, replicas: FakeReplicas, caplog: pytest.LogCaptureFixture
) -> None:
    loads = iter([0.7, 0.7, 0.7])
    with agent_of(server, load=lambda: next(loads), capacity=2) as agent, agent.request():
        replicas.until(lambda: bool(replicas.beats) and replicas.beats[-1].load == 0.7)
        replicas.until(lambda: replicas.beats[-1].load == 0.5)
    assert "`load` failed" in caplog.text


def test_it_loads_what_it_is_told_to(server: FakeServer, replicas: FakeReplicas) -> None:
    model = Model()
    model.may_end.clear()
    with agent_of(server, load_model=model.load, unload=model.unload) as agent:
        replicas.until(lambda: last(replicas) == (READY, "v1"))
        replicas.wanted = "v2", VALUE
        replicas.drained = True
        replicas.until(lambda: last(replicas) == (LOADING, ""))
        assert agent.drained
        beats = len(replicas.beats)
        replicas.until(lambda: len(replicas.beats) >= beats + 3)
        model.may_end.set()
        replicas.until(lambda: last(replicas) == (READY, "v2"))
        assert model.said == [("unload v1", None), ("load v2", VALUE)]
        assert (agent.state, agent.variant) == (AgentState.READY, "v2")
        replicas.wanted = "", None
        beats = len(replicas.beats)
        replicas.until(lambda: len(replicas.beats) >= beats + 3)
        assert last(replicas) == (READY, "v2")
    assert not replicas.registered[0].fixed


def test_what_fails_is_told_and_not_tried_again_by_itself(
    server: FakeServer, replicas: FakeReplicas
) -> None:
    model = Model()
    model.problem = "no room"
    with agent_of(server, load_model=model.load) as agent:
        replicas.until(lambda: bool(replicas.beats))
        replicas.wanted = "v2", VALUE
        replicas.until(lambda: last(replicas) == (FAILED, ""))
        assert replicas.beats[-1].problem == "MemoryError: no room"
        beats = len(replicas.beats)
        replicas.until(lambda: len(replicas.beats) >= beats + 3)
        assert len(model.said) == 1
        model.problem = ""
        replicas.wanted = "v1", {}
        replicas.until(lambda: last(replicas) == (READY, "v1"))
        assert replicas.beats[-1].problem == ""
        replicas.wanted = "v2", VALUE
        replicas.until(lambda: last(replicas) == (READY, "v2"))
        assert agent.variant == "v2"
    assert [what for what, _ in model.said] == ["load v2", "load v1", "load v2"]


def test_news_of_what_is_wanted_wait_for_the_load_under_way(
    server: FakeServer, replicas: FakeReplicas
) -> None:
    model = Model()
    model.may_end.clear()
    with agent_of(server, load_model=model.load):
        replicas.wanted = "v2", VALUE
        replicas.until(lambda: last(replicas) == (LOADING, ""))
        replicas.wanted = "v3", VALUE
        beats = len(replicas.beats)
        replicas.until(lambda: len(replicas.beats) >= beats + 3)
        model.may_end.set()
        replicas.until(lambda: last(replicas) == (READY, "v3"))
    assert [what for what, _ in model.said] == ["load v2", "load v3"]


def test_who_is_forgotten_registers_anew_as_it_is_now(
    server: FakeServer, replicas: FakeReplicas
) -> None:
    model = Model()
    with agent_of(server, load_model=model.load):
        replicas.wanted = "v2", VALUE
        replicas.until(lambda: last(replicas) == (READY, "v2"))
        replicas.known.clear()
        replicas.until(lambda: len(replicas.registered) == 2)
    assert replicas.registered[1].variant == "v2"


def test_it_waits_for_the_server_and_says_so_once(
    server: FakeServer, replicas: FakeReplicas, caplog: pytest.LogCaptureFixture
) -> None:
    server.stop()
    with caplog.at_level(logging.WARNING, "tidegate"), agent_of(server) as agent:
        assert not agent.wait_registered(0.5)
        server.start()
        assert agent.wait_registered(20)
        server.stop()
        server.start()
        beats = len(replicas.beats)
        replicas.until(lambda: len(replicas.beats) > beats, 20)
    assert caplog.text.count("can't register at") == 1
    assert caplog.text.count("can't be heard at") <= 1


def test_a_refusal_is_logged_with_its_reason(
    server: FakeServer, replicas: FakeReplicas, caplog: pytest.LogCaptureFixture
) -> None:
    replicas.refuses = grpc.StatusCode.INVALID_ARGUMENT
    with caplog.at_level(logging.WARNING, "tidegate"), agent_of(server) as agent:
        until(lambda: bool(caplog.text))
        assert "can't register at" in caplog.text
        assert "(INVALID_ARGUMENT: as the test says)" in caplog.text
        replicas.refuses = None
        assert agent.wait_registered(10)


def test_a_refusal_is_logged_though_the_server_was_away_before(
    server: FakeServer, replicas: FakeReplicas, caplog: pytest.LogCaptureFixture
) -> None:
    server.stop()
    with caplog.at_level(logging.WARNING, "tidegate"), agent_of(server) as agent:
        until(lambda: "UNAVAILABLE" in caplog.text)
        replicas.refuses = grpc.StatusCode.NOT_FOUND
        server.start()
        until(lambda: "can't register at" in caplog.text and "NOT_FOUND" in caplog.text)
        replicas.refuses = None
        assert agent.wait_registered(10)
    assert caplog.text.count("(UNAVAILABLE") == 1


def test_a_value_that_the_server_does_not_know_yet_is_waited_for(
    server: FakeServer, replicas: FakeReplicas
) -> None:
    model = Model()
    with agent_of(server, load_model=model.load):
        replicas.wanted = "v2", None
        replicas.until(lambda: len(replicas.beats) >= 3)
        assert last(replicas) == (READY, "v1")
        replicas.wanted = "v2", VALUE
        replicas.until(lambda: last(replicas) == (READY, "v2"))
    assert model.said == [("load v2", VALUE)]


@pytest.mark.parametrize(
    ("load", "told"), [(float("inf"), 1e9), (1e300, 1e9), (-1.0, 0.0), (float("nan"), 0.0)]
)
def test_a_load_that_no_server_takes_is_brought_into_its_range(
    server: FakeServer, replicas: FakeReplicas, load: float, told: float
) -> None:
    with agent_of(server, load=lambda: load):
        replicas.until(lambda: bool(replicas.beats))
    assert replicas.registered[0].load == told


def test_a_problem_that_is_no_text_is_told(
    server: FakeServer, replicas: FakeReplicas, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "tidegate")  # pytest-xdist can't send the traceback

    def load_model(variant: str, value: Mapping[str, Any]) -> None:
        raise FileNotFoundError("weights-\udcff.bin")

    with agent_of(server, load_model=load_model):
        replicas.wanted = "v2", VALUE
        replicas.until(lambda: last(replicas) == (FAILED, ""))
        assert replicas.beats[-1].problem == "FileNotFoundError: weights-?.bin"


def test_what_failed_is_loaded_anew_when_it_is_told_to(
    server: FakeServer, replicas: FakeReplicas
) -> None:
    model = Model()
    with agent_of(server, load_model=model.load) as agent:
        replicas.until(lambda: bool(replicas.beats))
        agent.become(AgentState.FAILED, "v1", "the GPU is lost")
        replicas.until(lambda: last(replicas) == (FAILED, "v1"))
        replicas.wanted = "v1", VALUE
        replicas.until(lambda: last(replicas) == (READY, "v1"))
    assert model.said == [("load v1", VALUE)]


def test_what_is_not_healthy_takes_no_traffic_until_it_is(
    server: FakeServer, replicas: FakeReplicas
) -> None:
    healthy = [True]
    with agent_of(server, healthy=lambda: healthy[0]) as agent:
        replicas.until(lambda: last(replicas) == (READY, "v1"))
        healthy[0] = False
        replicas.until(lambda: last(replicas) == (FAILED, "v1"))
        assert replicas.beats[-1].problem == "v1 is not healthy"
        assert agent.state is AgentState.FAILED
        healthy[0] = True
        replicas.until(lambda: last(replicas) == (READY, "v1"))
        agent.become(AgentState.FAILED, "v1", "for another reason")
        replicas.until(lambda: last(replicas) == (FAILED, "v1"))
        beats = len(replicas.beats)
        replicas.until(lambda: len(replicas.beats) >= beats + 3)
        assert last(replicas) == (FAILED, "v1")


def test_what_is_not_healthy_is_loaded_anew_when_it_is_told_to(
    server: FakeServer, replicas: FakeReplicas
) -> None:
    model, healthy = Model(), [True]

    def load_model(variant: str, value: Mapping[str, Any]) -> None:
        healthy[0] = True
        model.load(variant, value)

    with agent_of(server, load_model=load_model, healthy=lambda: healthy[0]):
        replicas.until(lambda: last(replicas) == (READY, "v1"))
        healthy[0] = False
        replicas.until(lambda: last(replicas) == (FAILED, "v1"))
        replicas.wanted = "v1", VALUE
        replicas.until(lambda: last(replicas) == (READY, "v1"))
        beats = len(replicas.beats)
        replicas.until(lambda: len(replicas.beats) >= beats + 3)
    assert model.said == [("load v1", VALUE)]


def test_whose_health_cannot_be_told_is_not_healthy(
    server: FakeServer, replicas: FakeReplicas, caplog: pytest.LogCaptureFixture
) -> None:
    def healthy() -> bool:
        raise OSError("no probe")

    with agent_of(server, healthy=healthy):
        replicas.until(lambda: bool(replicas.beats))
    assert (replicas.registered[0].state, replicas.registered[0].problem) == (
        FAILED,
        "OSError: no probe",
    )


def test_closing_lets_requests_end(server: FakeServer, replicas: FakeReplicas) -> None:
    agent = agent_of(server)
    agent.start()
    agent.start()
    assert agent.wait_registered(10)
    request = agent.request()
    request.__enter__()
    closing = threading.Thread(target=agent.close, args=(20,))
    closing.start()
    replicas.until(lambda: last(replicas) == (DRAINING, "v1"))
    assert replicas.gone == []
    request.__exit__(None, None, None)
    closing.join()
    assert replicas.gone == ["gpu-1"]
    agent.close()


def test_closing_lets_requests_end_that_only_the_application_counts(
    server: FakeServer, replicas: FakeReplicas
) -> None:
    busy = [0.5]
    agent = agent_of(server, load=lambda: busy[0])
    agent.start()
    assert agent.wait_registered(10)
    closing = threading.Thread(target=agent.close, args=(20,))
    closing.start()
    replicas.until(lambda: last(replicas) == (DRAINING, "v1"))
    beats = len(replicas.beats)
    replicas.until(lambda: len(replicas.beats) >= beats + 3)
    assert replicas.gone == []
    busy[0] = 0.0
    closing.join()
    assert replicas.gone == ["gpu-1"]


def test_clients_hear_that_it_closes_before_it_does(
    server: FakeServer, replicas: FakeReplicas
) -> None:
    """What they send until then is under way, though nothing was when it began to close."""
    agent = agent_of(server)
    agent.start()
    assert agent.wait_registered(10)
    closing = threading.Thread(target=agent.close, args=(20,))
    closing.start()
    replicas.until(lambda: last(replicas) == (DRAINING, "v1"))
    with agent.request():
        beats = len(replicas.beats)
        replicas.until(lambda: len(replicas.beats) >= beats + 20)
        assert replicas.gone == []
    closing.join()
    assert replicas.gone == ["gpu-1"]


def test_closing_does_not_wait_for_a_server_that_is_away(
    server: FakeServer, replicas: FakeReplicas
) -> None:
    agent = agent_of(server)
    agent.start()
    assert agent.wait_registered(10)
    server.stop()
    began = monotonic()
    agent.close(30)
    assert monotonic() - began < 15


def test_who_cannot_deregister_says_so(
    server: FakeServer, replicas: FakeReplicas, caplog: pytest.LogCaptureFixture
) -> None:
    with agent_of(server) as agent:
        assert agent.wait_registered(10)
        replicas.refuses = grpc.StatusCode.UNAVAILABLE
    assert "replica gpu-1 could not deregister" in caplog.text


def test_a_fault_is_logged_and_it_goes_on(
    server: FakeServer, replicas: FakeReplicas, caplog: pytest.LogCaptureFixture
) -> None:
    with agent_of(server) as agent:
        assert agent.wait_registered(10)
        agent.become(AgentState.READY, 5)  # type: ignore[arg-type]
        until(lambda: "met a fault" in caplog.text)
        agent.become(AgentState.READY, "v2")
        replicas.until(lambda: last(replicas) == (READY, "v2"))
    assert "replica gpu-1 met a fault, and goes on" in caplog.text


def test_one_with_a_driver_is_told_by_it_and_says_what_it_serves(
    server: FakeServer, replicas: FakeReplicas
) -> None:
    with agent_of(server, driver_url="http://driver") as agent:
        replicas.wanted = "v2", VALUE
        replicas.until(lambda: len(replicas.beats) >= 3)
        assert last(replicas) == (READY, "v1")
        agent.become(AgentState.FAILED, "", "x" * 2_000)
        replicas.until(lambda: last(replicas) == (FAILED, ""))
        assert replicas.beats[-1].problem == "x" * 1_000
        agent.become(AgentState.READY, "v2")
        replicas.until(lambda: last(replicas) == (READY, "v2"))
    assert not replicas.registered[0].fixed
    assert replicas.registered[0].driver_url == "http://driver"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"server": "nowhere", "variant": "v1"}, "server: 'nowhere' is not of the form"),
        ({}, "variant: is not given, and without load_model it never will be"),
        ({"load_model": print, "driver_url": "http://x"}, "driver_url: is given beside load_model"),
    ],
)
def test_wrong_arguments_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(tidegate.ConfigurationError, match=message):
        Agent(**{"server": "h:1", "id": "a", "flag": "f", "address": "a:1"} | given)


def test_a_child_process_does_not_deregister_its_parent(
    server: FakeServer, replicas: FakeReplicas
) -> None:
    program = """
import os, sys
from tidegate.replicas import Agent
agent = Agent(sys.argv[1], id="gpu-1", flag="chat-model", address="a:1", variant="v1")
agent.start()
assert agent.wait_registered(20)
pid = os.fork()
if not pid:
    agent.close()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
print("child is done", flush=True)
sys.stdin.readline()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, server.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "child is done\n"
        beats = len(replicas.beats)
        replicas.until(lambda: len(replicas.beats) > beats)
        assert replicas.gone == []
        process.communicate("\n", timeout=20)
    assert replicas.gone == ["gpu-1"]  # at the exit of the parent

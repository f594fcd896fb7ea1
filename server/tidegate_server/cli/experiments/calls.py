"""Calls of ExperimentService that several commands make."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message

from tidegate.model import Metric
from tidegate.v1 import experiment_pb2, experiment_service_pb2
from tidegate.wire.flags import flag_from_message
from tidegate_server.cli.connection import CALL_SECONDS, PAGE_SIZE, Stubs, all_pages, status_of
from tidegate_server.cli.flag_calls import find_flag
from tidegate_server.domain.experiments.records import Experiment, NumberedDecision, Seen
from tidegate_server.wire.experiments import (
    decision_from_message,
    experiment_from_message,
    look_from_message,
)

MOST_LOOKS = 10_000
"""As many the server sends at once."""


def get_experiment(stubs: Stubs, key: str) -> Experiment:
    """Return an experiment; the server refuses what it does not have."""
    return experiment_from_message(get_message(stubs, key))


def get_message(stubs: Stubs, key: str) -> experiment_pb2.Experiment:
    """Return an experiment as the server sends it."""
    request = experiment_service_pb2.GetExperimentRequest(key=key)
    return stubs.experiments.GetExperiment(request, timeout=CALL_SECONDS).experiment


def find_experiment(stubs: Stubs, key: str) -> Experiment | None:
    """Return an experiment, or None if there is none by this key."""
    try:
        return get_experiment(stubs, key)
    except grpc.RpcError as error:
        if status_of(error)[0] is grpc.StatusCode.NOT_FOUND:
            return None
        raise


def list_experiments(stubs: Stubs, flag: str) -> list[experiment_pb2.Experiment]:
    """Return all experiments, or those on one flag, by key."""

    def ask(token: str) -> experiment_service_pb2.ListExperimentsResponse:
        request = experiment_service_pb2.ListExperimentsRequest(
            page_size=PAGE_SIZE, page_token=token, flag_key=flag
        )
        return stubs.experiments.ListExperiments(request, timeout=CALL_SECONDS)

    return [each for page in all_pages(ask) for each in page.experiments]


def list_decisions(stubs: Stubs, key: str, after: int = 0) -> list[experiment_pb2.Decision]:
    """Return an experiment's decisions with numbers above `after`, in order."""
    found: list[experiment_pb2.Decision] = []
    while True:
        request = experiment_service_pb2.ListDecisionsRequest(
            key=key, after=after, page_size=PAGE_SIZE
        )
        page = stubs.experiments.ListDecisions(request, timeout=CALL_SECONDS)
        found += page.decisions
        if not page.more:
            return found
        after = page.decisions[-1].number


def read_decisions(messages: Sequence[experiment_pb2.Decision]) -> list[NumberedDecision]:
    """Return the decisions that messages hold."""
    return list(map(decision_from_message, messages))


def list_looks(stubs: Stubs, key: str, most: int, after: datetime | None) -> list[Seen]:
    """Return what looks saw after a time: of more than `most`, evenly chosen ones and the last."""
    after_ms = 0 if after is None else int(after.timestamp() * 1_000)
    request = experiment_service_pb2.ListLooksRequest(key=key, most=most, after_ms=after_ms)
    answer = stubs.experiments.ListLooks(request, timeout=CALL_SECONDS)
    return list(map(look_from_message, answer.looks))


def get_metrics(stubs: Stubs, flag: str) -> Collection[Metric]:
    """Return the metrics that a flag declares; none if there is no such flag any more."""
    found = find_flag(stubs, flag)
    return () if found is None else flag_from_message(found, newer_server=True).metrics


def as_json(found: Message | Sequence[Message]) -> str:
    """Write a message, or a list of them, as JSON."""
    if isinstance(found, Message):
        return json.dumps(_plain(found), indent=2, ensure_ascii=False)
    return json.dumps(list(map(_plain, found)), indent=2, ensure_ascii=False)


def _plain(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )

"""Hooks, preflight checks, change windows and notifications of plans."""

from tidegate.v1 import experiment_pb2
from tidegate_server.domain.experiments.plan import (
    ChangeWindow,
    Evaluation,
    Hook,
    Notification,
    NotificationFormat,
    Preflight,
    Threshold,
    Weekday,
)
from tidegate_server.wire.experiments.reader import Numbers, Reader, duration_to_message

_FORMATS = Numbers(
    NotificationFormat, "NOTIFICATION_FORMAT", experiment_pb2.NotificationFormat.Value
)


def hook_to_message(hook: Hook) -> experiment_pb2.Hook:
    """Return a hook as a message."""
    return experiment_pb2.Hook(url=hook.url, timeout=duration_to_message(hook.timeout))


def read_hook(message: experiment_pb2.Hook, field: str, reader: Reader) -> Hook:
    """Read a hook."""
    return Hook(message.url, reader.duration(message.timeout, f"{field}.timeout"))


def preflight_to_message(preflight: Preflight) -> experiment_pb2.Preflight:
    """Return the checks before any traffic as a message."""
    evaluation = preflight.evaluation
    return experiment_pb2.Preflight(
        limit=duration_to_message(preflight.limit),
        health=preflight.health,
        evaluation=None if evaluation is None else _evaluation_to_message(evaluation),
    )


def read_preflight(message: experiment_pb2.Preflight, reader: Reader) -> Preflight:
    """Read the checks before any traffic."""
    given = message.HasField("evaluation")
    return Preflight(
        limit=reader.duration(message.limit, "preflight.limit"),
        health=message.health,
        evaluation=_read_evaluation(message.evaluation, reader) if given else None,
    )


def window_to_message(window: ChangeWindow) -> experiment_pb2.ChangeWindow:
    """Return a change window as a message."""
    return experiment_pb2.ChangeWindow(
        days=window.days,
        start=f"{window.start:%H:%M}",
        end=f"{window.end:%H:%M}",
        zone=window.zone,
    )


def read_window(message: experiment_pb2.ChangeWindow, field: str, reader: Reader) -> ChangeWindow:
    """Read a change window."""
    unknown = sorted(set(message.days) - set(Weekday))
    if unknown:
        reader.report(f"{field}.days", f"{unknown[0]} is no day: give 0 (Monday) to 6 (Sunday)")
    return ChangeWindow(
        days=tuple(Weekday(each) for each in message.days if each not in unknown),
        start=reader.time_of_day(message.start, f"{field}.start"),
        end=reader.time_of_day(message.end, f"{field}.end"),
        zone=message.zone,
    )


def notification_to_message(notification: Notification) -> experiment_pb2.Notification:
    """Return where decisions are told as a message."""
    return experiment_pb2.Notification(
        url=notification.url,
        format=_FORMATS.to_number(notification.format),
        actions=notification.actions,
    )


def read_notification(
    message: experiment_pb2.Notification, field: str, reader: Reader
) -> Notification:
    """Read where decisions are told."""
    form = reader.enum(_FORMATS, message.format, f"{field}.format", NotificationFormat.JSON)
    return Notification(message.url, form, tuple(message.actions))


def _evaluation_to_message(evaluation: Evaluation) -> experiment_pb2.Evaluation:
    return experiment_pb2.Evaluation(
        thresholds=[
            experiment_pb2.Threshold(metric=each.metric, limit=each.limit, floor=each.floor)
            for each in evaluation.thresholds
        ],
        command=evaluation.command,
        url=evaluation.url,
        timeout=duration_to_message(evaluation.timeout),
    )


def _read_evaluation(message: experiment_pb2.Evaluation, reader: Reader) -> Evaluation:
    return Evaluation(
        thresholds=tuple(
            Threshold(each.metric, each.limit, each.floor) for each in message.thresholds
        ),
        command=tuple(message.command),
        url=message.url,
        timeout=reader.duration(message.timeout, "preflight.evaluation.timeout"),
    )

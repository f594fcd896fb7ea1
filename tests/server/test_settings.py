import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tidegate_server.errors import ConfigurationError
from tidegate_server.logs import configure_logs
from tidegate_server.settings import (
    LogFormat,
    LogLevel,
    Settings,
    child_environment,
    parse_address,
    parse_servers,
    without_password,
)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"TIDEGATE_{name.upper()}", raising=False)


def test_nothing_needs_to_be_set() -> None:
    settings = Settings.load()
    assert settings.redis_url is None
    assert settings.listen == "127.0.0.1:7070"
    assert settings.environment == "prod"
    assert settings.data_dir == Path(".tidegate")
    assert settings.shards == 2


def test_an_option_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_LISTEN", "127.0.0.1:1")
    monkeypatch.setenv("TIDEGATE_SHARDS", "")
    assert Settings.load(listen=None).listen == "127.0.0.1:1"
    assert Settings.load(listen="127.0.0.1:2").listen == "127.0.0.1:2"
    assert Settings.load().shards == 2


@pytest.mark.parametrize(
    ("name", "value", "problem", "fix"),
    [
        ("SHARDS", "many", "is not valid", "1 to 1,024 (default 2)"),
        ("SHARDS", "0", "is not valid", "1 to 1,024 (default 2)"),
        ("SHARDS", "1025", "is not valid", "1 to 1,024 (default 2)"),
        ("LISTEN", "7070", "is not host:port", "takes any free one (default 127.0.0.1:7070)"),
        (
            "ENVIRONMENT",
            "Prod",
            "has characters other than a-z, 0-9, '-', '_' and '.', or is too long",
            "1 to 100 characters of a-z, 0-9, '-', '_' and '.' (default prod)",
        ),
        ("MAX_STREAM_MB", "0", "is not valid", "1 to 1,000,000 (default 256)"),
        ("BATCH_MEMORY_HOURS", "0", "is not valid", "0.1 to 720 hours (default 24)"),
        ("WAIT_REPLICAS", "-1", "is not valid", "0 to 100 (default 0)"),
        ("FSYNC", "no", "is not valid", "always (before it answers) or everysec (default always)"),
        ("METRICS_LISTEN", "9464", "is not host:port", "take the ports that follow"),
        ("METRICS_FLAGS", "-1", "is not valid", "0 to 1,000 (default 50)"),
        ("DASHBOARD_LISTEN", "7071", "is not host:port", "runs none (default 127.0.0.1:7071)"),
        ("DASHBOARD_HOSTS", "a, b c", "has 'b c', which is no host name", "example.com,dash"),
        ("DASHBOARD_SERVERS", "prod=7070", "is not host:port", "staging=tidegate-staging:7070"),
        (
            "DASHBOARD_SERVERS",
            "a=h:1,a=h:2",
            "names 'a' twice",
            "prod=tidegate:7070,staging=tidegate-staging:7070",
        ),
        ("LOG_FORMAT", "xml", "is not valid", "console or json (default console)"),
    ],
)
def test_a_wrong_value_is_named_with_its_fix(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str, fix: str
) -> None:
    monkeypatch.setenv(f"TIDEGATE_{name}", value)
    with pytest.raises(ConfigurationError) as failure:
        Settings.load()
    message = str(failure.value)
    assert message.startswith(f"TIDEGATE_{name}: {value!r} {problem}; expected is the ")
    assert message.endswith(fix)


def test_a_wrong_option_is_named_as_the_option() -> None:
    with pytest.raises(ConfigurationError, match=r"^--listen \(TIDEGATE_LISTEN\): 'x' is not host"):
        Settings.load(listen="x")


def test_all_wrong_values_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_SHARDS", "0")
    monkeypatch.setenv("TIDEGATE_HEARTBEAT_SECONDS", "nan")
    with pytest.raises(ConfigurationError) as failure:
        Settings.load()
    assert [line.split(":")[0] for line in str(failure.value).splitlines()] == [
        "TIDEGATE_SHARDS",
        "TIDEGATE_HEARTBEAT_SECONDS",
    ]


@pytest.mark.parametrize(
    ("value", "address"), [(None, None), ("off", None), ("[::1]:9464", "[::1]:9464")]
)
def test_metrics_are_served_where_the_setting_says(value: str | None, address: str | None) -> None:
    assert Settings.load(metrics_listen=value).metrics_address == address


def test_the_embedded_store_has_no_replicas_to_wait_for() -> None:
    with pytest.raises(ConfigurationError, match="TIDEGATE_WAIT_REPLICAS: 1 can't be had"):
        Settings.load(wait_replicas=1)
    assert Settings.load(wait_replicas=1, redis_url="redis://host").wait_replicas == 1


def test_a_password_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_REDIS_URL", "http://user:hunter2@host")
    with pytest.raises(ConfigurationError) as failure:
        Settings.load()
    assert "hunter2" not in str(failure.value)
    assert "TIDEGATE_REDIS_URL: (not shown) is not the URL of a Redis" in str(failure.value)
    monkeypatch.setenv("TIDEGATE_REDIS_URL", "redis://user:hunter2@host:6379/0")
    assert "hunter2" not in repr(Settings.load())


def test_the_webhook_secret_is_handed_on_and_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIDEGATE_WEBHOOK_SECRET", "too short")
    with pytest.raises(ConfigurationError, match="at least 16 characters") as failure:
        Settings.load()
    assert "too short" not in str(failure.value)
    monkeypatch.setenv("TIDEGATE_WEBHOOK_SECRET", "long enough a secret")
    settings = Settings.load()
    assert "long enough" not in repr(settings)
    assert settings.to_environment()["TIDEGATE_WEBHOOK_SECRET"] == "long enough a secret"


def test_programs_of_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().evaluation_programs == frozenset()
    monkeypatch.setenv("TIDEGATE_EVALUATION_COMMANDS", "/usr/bin/eval, python")
    settings = Settings.load()
    assert settings.evaluation_programs == {"/usr/bin/eval", "python"}
    handed = settings.to_environment()["TIDEGATE_EVALUATION_COMMANDS"]
    assert handed == "/usr/bin/eval, python"
    monkeypatch.setenv("TIDEGATE_EVALUATION_COMMANDS", "python,,eval")
    with pytest.raises(ConfigurationError, match="names an empty program"):
        Settings.load()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("rediss://user:p@ss@host:6379/0", "rediss://***@host:6379/0"),
        ("redis://:secret@host", "redis://***@host"),
        ("unix:///data/valkey.sock", "unix:///data/valkey.sock"),
        ("unix:///v.sock?password=secret&db=2", "unix:///v.sock?password=***&db=2"),
        (
            "redis+sentinel://u:secret@one:26379,two/main/1?sentinel_password=secret",
            "redis+sentinel://***@one:26379,two/main/1?sentinel_password=***",
        ),
    ],
)
def test_urls_are_shown_without_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("127.0.0.1:7070", ("127.0.0.1", 7070)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_addresses_are_split(address: str, parts: tuple[str, int]) -> None:
    assert parse_address(address) == parts


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("", "is not host:port"),
        ("host", "is not host:port"),
        (":7070", "is not host:port"),
        ("host:", "has the port '', which is not a number from 0 to 65535"),
        ("host:x", "has the port 'x', which is not a number from 0 to 65535"),
        ("host:65536", "has the port '65536', which is not a number from 0 to 65535"),
        ("::1:7070", "has an IPv6 host without brackets"),
    ],
)
def test_other_addresses_are_refused(address: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has) ") as failure:
        parse_address(address)
    assert str(failure.value) == problem


def test_a_child_gets_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.load(
        redis_url="redis://host",
        listen="127.0.0.1:9",
        environment="staging",
        shards=7,
        max_stream_mb=5,
        wait_replicas=2,
        fsync="everysec",
    )
    for name, value in child_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings.load() == settings


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("logging_as_before")
def test_our_lines_and_those_of_libraries_have_one_format(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs(LogFormat.JSON, LogLevel.INFO)
    structlog.get_logger("tidegate").info("batch stored", entries=3)
    logging.getLogger("library").warning("slow: %d ms", 7)
    logging.getLogger("library").debug("not shown")
    ours, theirs = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["entries"], ours["level"]) == ("batch stored", 3, "info")
    assert (theirs["event"], theirs["logger"]) == ("slow: 7 ms", "library")
    assert ours["timestamp"].endswith("Z")


@pytest.mark.usefixtures("logging_as_before")
def test_console_lines_are_plain_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogFormat.CONSOLE, LogLevel.WARNING)
    structlog.get_logger("tidegate").warning("store lost", seconds=2)
    line = capsys.readouterr().err
    assert "store lost" in line
    assert "seconds=2" in line
    assert "\x1b" not in line


def fail(url: str) -> None:
    raise OSError(f"cannot connect to {url}")


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize("log_format", LogFormat)
def test_no_secret_is_logged_not_even_by_a_traceback(
    capsys: pytest.CaptureFixture[str], log_format: LogFormat
) -> None:
    configure_logs(log_format, LogLevel.DEBUG)
    url = "redis://user:" + "hunter2@host"
    library = logging.getLogger("library")
    try:
        fail(url)
    except OSError:
        structlog.get_logger("tidegate").exception("failed", url=url, api_key="hunter2")
        library.exception("at %s, with %s", url, {"password": "hunter2"})
    said = capsys.readouterr().err
    assert said.count("OSError: cannot connect to redis://***@host") == 2
    assert "at redis://***@host, with {'password': '***'}" in said
    assert "hunter2" not in said


def test_servers_are_read_by_environment() -> None:
    assert parse_servers("prod=h:1, staging=[::1]:2") == {"prod": "h:1", "staging": "[::1]:2"}

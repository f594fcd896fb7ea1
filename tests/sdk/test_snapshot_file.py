import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from hypothesis import strategies as st

from tests.sdk.flags import make_flag, make_snapshot
from tidegate import ConfigurationError, snapshot_file
from tidegate.snapshot_file import SnapshotFile, bootstrap_snapshot
from tidegate.wire import snapshot_to_message

SNAPSHOT = make_snapshot(make_flag("one"), make_flag("two"), revision=7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "last.snapshot"


@pytest.fixture
def content(path: Path) -> bytes:
    """What a file with SNAPSHOT holds."""
    SnapshotFile(path).save(SNAPSHOT, 0.0)
    return path.read_bytes()


def test_what_was_saved_is_read_with_its_age(path: Path) -> None:
    SnapshotFile(path).save(SNAPSHOT, 30.0)
    loaded = SnapshotFile(path).load()
    assert loaded is not None
    assert loaded.snapshot == SNAPSHOT
    assert 30 <= loaded.age < 40
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o077 == 0


def test_no_file_is_no_fault(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert SnapshotFile(path).load() is None
    assert not caplog.records


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@for_all(st.data())
def test_a_broken_file_is_ignored(path: Path, content: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(content) - 1))
    kind = data.draw(st.sampled_from(["cut", "other byte", "more"]))
    broken = {
        "cut": content[:at],
        "other byte": content[:at] + bytes([content[at] ^ 0x15]) + content[at + 1 :],
        "more": content + b"x",
    }[kind]
    path.write_bytes(broken)
    loaded = SnapshotFile(path).load()
    # the header may change so that it still is valid; the flags may not
    assert loaded is None or (loaded.snapshot == SNAPSHOT and at < content.index(b"\n"))


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (b"", "last.snapshot is ignored"),
        (b"{}\n", "its format is not tidegate-snapshot-1"),
        (b"[1]\n", "its format is not tidegate-snapshot-1"),
        (b'{"format": "tidegate-snapshot-1"}\n', "sha256"),
        (b'{"format": "tidegate-snapshot-1", "sha256": "0"}\nxx', "checksum does not match"),
    ],
)
def test_a_broken_file_is_logged(
    path: Path, broken: bytes, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(broken)
    assert SnapshotFile(path).load() is None
    assert words in caplog.text


def test_a_flag_that_cannot_be_read_leaves_the_others(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = snapshot_to_message(SNAPSHOT)
    message.flags[0].ClearField("allocation")
    monkeypatch.setattr(snapshot_file, "snapshot_to_message", lambda _: message)
    SnapshotFile(path).save(SNAPSHOT, 0.0)
    loaded = SnapshotFile(path).load()
    assert loaded is not None
    assert set(loaded.snapshot.flags) == {"two"}
    assert "flag 'one'" in caplog.text


def test_it_is_written_once_for_a_change_and_once_a_second(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("tidegate.snapshot_file.time.monotonic", lambda: now)
    file, other = SnapshotFile(path), make_snapshot(revision=8)
    file.save(SNAPSHOT, 0.0)
    first = path.read_bytes()
    file.save(other, 0.0)
    assert path.read_bytes() == first
    now = 101.0
    file.save(other, 0.0)
    second = path.read_bytes()
    assert second != first
    path.unlink()
    now = 110.0
    file.save(other, 0.0)
    assert not path.exists()


def test_what_was_read_is_not_written_again(path: Path, content: bytes) -> None:
    file = SnapshotFile(path)
    loaded = file.load()
    assert loaded is not None
    path.unlink()
    file.save(loaded.snapshot, 0.0)
    assert not path.exists()


def test_a_place_that_cannot_be_written_is_logged_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr("tidegate.snapshot_file.time.monotonic", lambda: now)
    (tmp_path / "file").write_text("")
    file = SnapshotFile(tmp_path / "file" / "last")
    file.save(SNAPSHOT, 0.0)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "snapshot_file: it cannot be written" in caplog.text
    (tmp_path / "file").unlink()
    now += 1
    file.save(SNAPSHOT, 0.0)
    assert (tmp_path / "file" / "last").exists()


def test_a_failure_leaves_the_old_file_and_no_other(
    path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("tidegate.snapshot_file.os.fsync", fail)
    SnapshotFile(path).save(make_snapshot(revision=9), 0.0)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def as_json() -> dict[str, Any]:
    return json_format.MessageToDict(snapshot_to_message(SNAPSHOT))


def test_bootstrap_from_a_dictionary_or_a_file(path: Path) -> None:
    assert bootstrap_snapshot(as_json()) == SNAPSHOT
    path.parent.mkdir()
    path.write_text(json.dumps(as_json()))
    assert bootstrap_snapshot(path) == SNAPSHOT
    assert bootstrap_snapshot(str(path)) == SNAPSHOT


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (5, "give a path or a dictionary, not a int"),
        ("no/such/file", "No such file"),
        ({"flagz": []}, "flagz"),
        ({"revision": -1}, "revision"),
        ({"flags": [{"key": "one"}]}, "flag 'one'"),
    ],
)
def test_a_broken_bootstrap_is_named(source: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match="bootstrap") as caught:
        bootstrap_snapshot(source)
    assert words in str(caught.value)

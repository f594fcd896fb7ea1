from pathlib import Path

import numpy as np
import pytest

from tidegate_server.cli.experiments.trace_file import LatencyModel, read_trace
from tidegate_server.domain.experiments.trace import Trace
from tidegate_server.errors import ConfigurationError

MODEL = LatencyModel(100.0, 10.0)
RECORDED = [
    folder / "shared" / "data"
    for folder in Path(__file__).parents
    if (folder / "shared" / "data" / "azure_llm_trace_2023_conv.csv").exists()
]

AZURE = """\
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:18:04.9799600,110,4
"""


def read(tmp_path: Path, text: str) -> Trace:
    file = tmp_path / "t.csv"
    file.write_text(text, encoding="utf-8")
    return read_trace(file, MODEL)


def test_the_azure_traces_are_known(tmp_path: Path) -> None:
    trace = read(tmp_path, AZURE)
    assert (trace.seconds - trace.seconds[0]).tolist() == pytest.approx([0, 0.052, 61.0])
    assert {name: values.tolist() for name, values in trace.outcomes.items()} == {
        "context_tokens": [4808, 3180, 110],
        "generated_tokens": [10, 8, 4],
        "latency_ms": [200, 180, 140],
    }
    assert trace.units is None


def test_other_columns_are_outcomes_by_name(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        "\ufefftime,user,latency_ms,size,error\n0.5,u2,120,7,0\n\n7,u1,80.5,9,1\n9e0,u2,90,9,0\n",
    )
    assert trace.seconds.tolist() == [0.5, 7, 9]
    assert trace.units is not None
    assert trace.units.tolist() == [1, 0, 1]
    assert trace.outcomes["latency_ms"].tolist() == [120, 80.5, 90]
    assert trace.outcomes["error"].tolist() == [0, 1, 0]
    assert trace.requests_per_unit == pytest.approx((1.5, 1 / 3))


def test_sizes_alone_make_latencies(tmp_path: Path) -> None:
    trace = read(tmp_path, "time,size\n2026-01-01T00:00:00Z,5\n2026-01-01T01:00:01+01:00,6\n")
    assert trace.seconds[1] - trace.seconds[0] == 1
    assert trace.outcomes["latency_ms"].tolist() == [150, 160]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.csv:1: names no column `time`: the first line names the columns"),
        ("1,2\n3,4\n", "t.csv:1: names no column `time`: the first line names the columns"),
        ("time,Größe\n1,2\n", "t.csv:1: the column 'Größe' can't be the name of an outcome"),
        ("time,a,a\n1,2,3\n", "t.csv:1: the column 'a' occurs twice"),
        ("time,timestamp\n1,2\n", "t.csv:1: has several columns of a time: keep one"),
        ("time,a\n1,2\n2\n", "t.csv:3: has 1 columns, not 2"),
        ("time,a\n1,2\n2,many\n", "t.csv:3: a: 'many' is not a finite number"),
        ("time,a\n1,2\n2,\n", "t.csv:3: a: '' is not a finite number"),
        ("time,a\n1,inf\n", "t.csv:2: a: 'inf' is not a finite number"),
        (
            "time,a\n2026-01-01,2\nnoon,3\n",
            "t.csv:3: time: 'noon' is no time: write 2026-01-31 12:00:00.5, or seconds",
        ),
        ("time,a\n1,2\n", "t.csv: a trace needs two requests at different times"),
        ("time,a\n1,2\n1,3\n", "t.csv: a trace needs two requests at different times"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(tmp_path, text)
    assert str(raised.value).splitlines()[0].removeprefix(f"{tmp_path}/") == message


def test_of_many_problems_the_first_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(tmp_path, "time,a\n" + "x,1\n" * 2 + "1,y\n" * 40)
    lines = str(raised.value).splitlines()
    assert len(lines) == 11
    assert lines[-1] == "and 72 more"


def test_what_is_no_text_can_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"time,a\n1,\xff\n")
    for name in ("t.csv", "none.csv"):
        with pytest.raises(ConfigurationError, match=r"cannot be read .*: give a CSV file"):
            read_trace(tmp_path / name, MODEL)


@pytest.mark.skipif(not RECORDED, reason="the traces are not kept in the repository")
@pytest.mark.parametrize(
    ("name", "requests", "median", "largest"),
    [("conv", 19_366, 129, 1_000), ("code", 8_819, 13, 1_899)],
)
def test_recorded_traffic_is_read(name: str, requests: int, median: int, largest: int) -> None:
    trace = read_trace(RECORDED[0] / f"azure_llm_trace_2023_{name}.csv", LatencyModel())
    tokens = trace.outcomes["generated_tokens"]
    assert tokens.size == requests
    assert [float(np.median(tokens)), float(tokens.max())] == [median, largest]
    assert 3_400 < trace.duration.total_seconds() < 3_600
    assert (np.diff(trace.seconds) >= 0).all()
    np.testing.assert_allclose(trace.outcomes["latency_ms"], 200 + 20 * tokens)

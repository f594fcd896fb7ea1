"""Windows as fields of Redis hashes, one hash for each chunk of time.

    <index in its chunk>/<outcome>    _WINDOW, then the window's bins as in `histogram_rows`

Numbers are little-endian.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from tidegate_server.analysis.windows import Resolution, Windows, empty_windows
from tidegate_server.errors import ConfigurationError
from tidegate_server.storage.histogram_rows import decode_rows, encode_rows

VERSION = 1
_WINDOW = np.dtype([("version", "u1"), ("count", "<i8"), ("total", "<f8"), ("m2", "<f8")])

CHUNK = {Resolution.TEN_SECONDS: 360, Resolution.MINUTE: 1_440, Resolution.HOUR: 720}
"""Windows in a chunk: those of an hour, a day, 30 days."""


def chunk_ms(resolution: Resolution) -> int:
    """Return the length of a chunk, in ms."""
    return CHUNK[resolution] * resolution.length_ms


def encode_windows(windows: Windows) -> dict[int, dict[str, bytes]]:
    """Return the fields of all windows, by chunk."""
    heads = np.empty(windows.count.size, _WINDOW)
    heads["version"], heads["count"] = VERSION, windows.count
    heads["total"], heads["m2"] = windows.total, windows.m2
    content = heads.tobytes()
    rows = encode_rows(heads.size, windows.bin_row, windows.bin, windows.bin_count)
    chunks: dict[int, dict[str, bytes]] = {}
    for place, (chunk, field) in enumerate(fields_of(windows)):
        head = content[place * heads.itemsize : (place + 1) * heads.itemsize]
        chunks.setdefault(chunk, {})[field] = head + rows[place]
    return chunks


def fields_of(windows: Windows) -> Iterator[tuple[int, str]]:
    """Yield the chunk and the field of each window."""
    chunk, within = np.divmod(windows.index, CHUNK[windows.resolution])
    for each, index, outcome in zip(
        chunk.tolist(), within.tolist(), windows.outcome.tolist(), strict=True
    ):
        yield each, f"{index}/{windows.outcomes[outcome]}"


def decode_windows(
    resolution: Resolution, chunks: Mapping[int, Mapping[bytes, bytes | None]]
) -> Windows:
    """Return the windows of these fields, by chunk; a field that has no value is none.

    Raises:
        ConfigurationError: a later version of the server wrote them.
    """
    found = sorted(
        (outcome.decode(), chunk * CHUNK[resolution] + int(index), value)
        for chunk, fields in chunks.items()
        for field, value in fields.items()
        if value is not None
        for index, _, outcome in [field.partition(b"/")]
    )
    if not found:
        return empty_windows(resolution)
    names, indexes, values = zip(*found, strict=True)
    heads = np.frombuffer(b"".join(value[: _WINDOW.itemsize] for value in values), _WINDOW)
    _check_version(heads["version"].max())
    outcomes, outcome = np.unique(names, return_inverse=True)
    bin_row, bins, bin_count = decode_rows([value[_WINDOW.itemsize :] for value in values])
    return Windows(
        resolution=resolution,
        outcomes=tuple(outcomes.tolist()),
        outcome=outcome,
        index=np.array(indexes, np.int64),
        count=heads["count"].astype(np.int64),
        total=heads["total"].astype(np.float64),
        m2=heads["m2"].astype(np.float64),
        bin_row=bin_row,
        bin=bins,
        bin_count=bin_count,
    )


def _check_version(version: int) -> None:
    if version != VERSION:
        raise ConfigurationError(
            f"the windows in the store have format {version}, and this server reads format "
            f"{VERSION}: run the version of tidegate that wrote them"
        )

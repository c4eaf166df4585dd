"""The CSV result of a bulk job, kept as a file and read by rows."""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator

CHUNK = 1 << 20


class ResultFile:
    """The CSV of a finished job on disk, and where each of its rows ends.

    The file is what makes the pages of a job agree with one another while the org goes on changing.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the job)
        self._ends = array("Q")
        rest, position, quotes = b"", 0, 0
        for chunk in chunks:
            self._file.write(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                position += len(line) + 1
                quotes += line.count(b'"')
                # A newline ends a row only outside quotes, that is after an even number of them.
                if not quotes & 1:
                    self._ends.append(position)
        self._file.flush()

    @property
    def rows(self) -> int:
        """Rows without the header."""
        return len(self._ends) - 1

    def page(self, start: int, stop: int) -> Iterator[bytes]:
        """The header and the rows [start, stop), in chunks of up to a megabyte. Several threads may read at once."""
        yield from self._read(0, self._ends[0])
        if stop > start:
            yield from self._read(self._ends[start], self._ends[stop])

    def close(self) -> None:
        """Free the disk."""
        self._file.close()

    def _read(self, position: int, end: int) -> Iterator[bytes]:
        while position < end:
            chunk = os.pread(self._file.fileno(), min(CHUNK, end - position), position)
            position += len(chunk)
            yield chunk

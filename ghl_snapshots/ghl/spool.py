"""Where the bytes of a capture's entities are kept until they are appended: a file without a name."""

import os
import tempfile
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Final

from ghl_snapshots.core.errors import SpoolError
from ghl_snapshots.core.model import Entity

_TAIL_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class SpooledBody:
    """An entity's bytes as a part of the file, read anew whenever they are asked for."""

    _spool: "Spool" = field(repr=False)
    _offset: int
    _size: int
    digest: bytes = field(repr=False)
    """SHA-256 of the bytes, 32 bytes."""

    def __len__(self) -> int:
        """Number of bytes, without reading them."""
        return self._size

    def __bytes__(self) -> bytes:
        """The bytes.

        Raises:
            SpoolError: the file does not give them.
        """
        return self._spool.read(self._offset, self._size)


class Spool:
    """One capture's temporary file; safe to use from many threads.

    A small capture needs none: the latest megabyte is in memory. The file is in the folder that TMPDIR
    names, and has no name there, or loses it at once. So nobody else can open it, and its room is free again
    with the last reference to an entity in it and at the end of the process, whatever ended that.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._written = 0
        self._tail = bytearray()
        """What came behind what is written."""
        self._lock = threading.Lock()

    def keep(self, entities: Sequence[Entity]) -> list[Entity]:
        """The entities with their bytes in the file instead of in memory.

        Raises:
            SpoolError: the disk is full, or there is no folder for temporary files.
        """
        offset = self._write(b"".join([bytes(entity.body) for entity in entities]))
        kept: list[Entity] = []
        for entity in entities:
            size = len(entity.body)
            kept.append(replace(entity, body=SpooledBody(self, offset, size, entity.digest)))
            offset += size
        return kept

    def read(self, offset: int, size: int) -> bytes:
        """So many bytes from there.

        Raises:
            SpoolError: they are not to be had.
        """
        with self._lock:
            if offset >= self._written:
                start = offset - self._written
                return bytes(self._tail[start : start + size])
        try:
            found = os.pread(self._descriptor(), size, offset)
        except OSError as error:
            raise _failure(error) from error
        if len(found) != size:
            raise SpoolError("A temporary file has become shorter than what was written to it.")
        return found

    def _write(self, data: bytes) -> int:
        """Put the data behind all that came before; where it begins."""
        with self._lock:
            offset = self._written + len(self._tail)
            self._tail += data
            if len(self._tail) >= _TAIL_BYTES:
                self._write_tail()
        return offset

    def _write_tail(self) -> None:
        try:
            descriptor, end = self._descriptor(), self._written + len(self._tail)
            with memoryview(self._tail) as tail:
                at = self._written
                while at < end:
                    at += os.pwrite(descriptor, tail[at - self._written :], at)
        except OSError as error:
            raise _failure(error) from error
        self._written = end
        self._tail = bytearray()

    def _descriptor(self) -> int:
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed with the spool)
            weakref.finalize(self, self._file.close)
        return self._file.fileno()


def _failure(error: OSError) -> SpoolError:
    return SpoolError(
        f"What GHL answered could not be kept in a temporary file: {error.strerror or error}. Free some room "
        "in the folder for temporary files, or name one with more in TMPDIR."
    )

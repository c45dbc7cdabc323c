"""Where the bytes of a capture's entities are kept until they are appended: a file without a name."""

import os
import tempfile
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import IO

from ghl_snapshots.core.errors import SpoolError
from ghl_snapshots.core.model import Entity


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

    It is opened with the first entity, in the folder that TMPDIR names, and has no name there, or loses it at
    once. So nobody else can open it, and its room is free again with the last reference to an entity in it
    and at the end of the process, whatever ended that.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._end = 0
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
        try:
            found = os.pread(self._descriptor(), size, offset)
        except OSError as error:
            raise _failure(error) from error
        if len(found) != size:
            raise SpoolError("A temporary file has become shorter than what was written to it.")
        return found

    def _write(self, data: bytes) -> int:
        """Write the data behind all that was written before; where it begins."""
        if not data:
            return 0
        try:
            with self._lock:
                descriptor, offset = self._descriptor(), self._end
                self._end += len(data)
            rest = memoryview(data)
            while rest:
                rest = rest[os.pwrite(descriptor, rest, offset + len(data) - len(rest)) :]
        except OSError as error:
            raise _failure(error) from error
        return offset

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

"""A zip archive that depends on nothing but what is put into it, and is there whole or not at all."""

from __future__ import annotations

import glob
import io
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from gan.files import sweep, written_atomically

_PACKED = (".png", ".parquet")
"""Files that are compressed already."""


class Archive:
    """An open archive: its members are written one after the other.

    Args:
        file: To write to.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w")
        self.names: list[str] = []
        """Of what was put in, in that order."""

    def add(self, name: str, content: bytes) -> None:
        """Put a whole file in."""
        with self.open(name) as member:
            member.write(content)

    @contextmanager
    def open(self, name: str) -> Generator[IO[bytes]]:
        """Put a file in piece by piece, however large it becomes."""
        self.names.append(name)
        with self._zip.open(_info(name), "w", force_zip64=True) as member:
            yield cast("IO[bytes]", _Told(member))

    def close(self) -> None:
        """Write the table of contents, by name."""
        self._zip.filelist.sort(key=lambda info: info.filename)
        self._zip.close()

    def abandon(self) -> None:
        """Write nothing more, not even when the zip is forgotten."""
        self._zip.fp = None


@contextmanager
def archive(path: Path) -> Generator[Archive]:
    """Write an archive under a temporary name, and rename it when it is whole; what killed ones left of it goes.

    Raises:
        OSError: It cannot be written; then the file is as it was, and no other is left.
    """
    sweep(path.parent.glob(f".{glob.escape(path.name)}.[0-9]*.tmp"))
    with written_atomically(path) as file:
        opened = Archive(file)
        try:
            yield opened
            opened.close()
        finally:
            opened.abandon()


def _info(name: str) -> zipfile.ZipInfo:
    """Return a member without a trace of who wrote it, and when."""
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_STORED if name.endswith(_PACKED) else zipfile.ZIP_DEFLATED
    info.create_system = 3  # Unix, on every system
    info.external_attr = 0o644 << 16
    return info


class _Told(io.RawIOBase):
    """A file that is written to and says how far it is, which a zip member does not and Parquet must know."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._at = file, 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, content: object) -> int:
        written = bytes(memoryview(content))  # type: ignore[arg-type]
        self._file.write(written)
        self._at += len(written)
        return len(written)

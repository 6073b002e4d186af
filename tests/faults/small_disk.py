"""A small disk of its own for a folder, which can be filled to the last byte."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_CHUNK: Final = b"\0" * (1 << 20)


class SmallDisk:
    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Fill the disk and keep the files of others."""
        with self._ballast.open("ab", buffering=0) as file:
            for chunk in (_CHUNK, _CHUNK[:4096]):
                try:
                    while True:
                        file.write(chunk)
                except OSError:
                    continue

    def free(self) -> None:
        """Free the space again."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[SmallDisk]:
    """Mount a disk of this size at `folder` (tmpfs, needs root) until the end of the block."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "vigie-tests", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert mounted.returncode == 0, (
        f"the tests of a full disk mount a small one, which root may: {mounted.stderr}"
    )
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)

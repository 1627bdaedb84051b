"""Files that are there wholly, or not at all."""

import os
import uuid
from pathlib import Path


def write_aside(path: Path, text: str, mode: int | None = None) -> None:
    """
    Write a file beside its place, and move it there when all of it is on the disk.

    A link keeps pointing where it points. Raises OSError.
    """
    path = path.resolve()
    # Not by tempfile, which keeps others out: a container's user and the host's may share it.
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with aside.open("x", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            aside.chmod(mode)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def read_text(path: Path) -> str:
    """The text of a file, empty where there is none; half surrogates for what is no UTF-8."""
    try:
        # As bytes, for the line ends to stay what they are.
        return path.read_bytes().decode(errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return ""

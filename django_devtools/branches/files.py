"""Reads files, and writes them so that no reader ever sees half of one."""

import os
import uuid
from pathlib import Path


def write_aside(path: Path, text: str, mode: int | None = None) -> None:
    """
    Write a file next to its destination, and move it there once all of it is on the disk.

    Follows links. ``mode`` are permissions, as ``chmod`` takes them. Raises OSError, which names
    the destination.
    """
    path = path.resolve()
    # tempfile would keep others out: the users of a container and of its host may share the file.
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
    except OSError as error:
        # A full disk names no file, and other errors name the one that nobody knows.
        error.filename = str(path)
        raise
    finally:
        aside.unlink(missing_ok=True)


def read_text(path: Path) -> str:
    """The text of a file, empty if there is none. What is not UTF-8 becomes half surrogates."""
    try:
        # Read as bytes, so that line ends stay as they are.
        return path.read_bytes().decode(errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return ""

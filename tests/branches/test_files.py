"""Files are written whole or not at all, and what can't be written is named."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from django_devtools.branches.files import read_text, write_aside


@contextmanager
def no_room() -> Iterator[None]:
    """As on a full disk: each file that grows fails, and the error names none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_for_which_there_is_no_room_is_named(tmp_path: Path) -> None:
    file = tmp_path / "in-step"
    file.write_text("before")

    with no_room(), pytest.raises(OSError, match="too large") as raised:
        write_aside(file, "after")

    assert raised.value.filename == str(file)
    assert read_text(file) == "before"
    assert [*tmp_path.iterdir()] == [file]


def test_a_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "directory").write_text("")

    with pytest.raises(FileExistsError) as raised:
        write_aside(tmp_path / "directory" / "file", "text")

    assert raised.value.filename == str(tmp_path / "directory")

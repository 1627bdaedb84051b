"""The rows of a database, read in process."""

from datetime import UTC, datetime, timedelta, timezone

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder

from django_devtools.branches.sources.rows import iso, read_rows


def test_times_are_written_in_utc_and_without_an_offset() -> None:
    assert iso(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)) == "2026-01-02T03:04:05.000006"
    berlin = timezone(timedelta(hours=1))
    assert iso(datetime(2026, 1, 2, 3, 4, 5, tzinfo=berlin)) == "2026-01-02T02:04:05"


def test_times_without_a_zone_are_taken_for_utc() -> None:
    assert iso(datetime(2026, 1, 2, 3, 4, 5)) == "2026-01-02T03:04:05"


def test_rows_come_in_the_order_in_which_they_were_applied(
    connection: BaseDatabaseWrapper,
) -> None:
    assert read_rows(connection) == {}
    recorder = MigrationRecorder(connection)
    recorder.record_applied("shop", "0002")
    recorder.record_applied("shop", "0001")
    assert list(read_rows(connection)) == [("shop", "0002"), ("shop", "0001")]

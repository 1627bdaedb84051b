"""
Reports the coverage of branches and of jobs, and fails where it is under the floor.

What only one database can run is measured where that database is: on a machine without its server,
its dialect is left out of the report; without any server, so is what SQLite has no need of.
"""

import sys
import tempfile
from pathlib import Path

from coverage import Coverage

from tests.databases import MAKERS, VENDORS, drop_all

FLOOR = 98
PARTS = (
    ["django_devtools/branches/*"],
    ["django_devtools/jobs/*", "django_devtools/pytest_plugin.py"],
)
SERVERS_ONLY = [
    "django_devtools/branches/running/foreign_keys.py",
    "django_devtools/branches/running/observer.py",
    "django_devtools/branches/schema/tenants.py",
    "django_devtools/branches/stash/undisturbed.py",
]
DIALECTS = {"sqlite": "sqlite", "postgresql": "postgresql", "mariadb": "mysql"}


def main() -> None:
    absent = [vendor for vendor in MAKERS if not is_tested(vendor)]
    left_out = [f"django_devtools/branches/schema/dialects/{DIALECTS[v]}.py" for v in absent]
    if absent:
        print(f"Left out, with their dialects, because no server answers: {', '.join(absent)}.")
    if {"postgresql", "mariadb"} <= {*absent}:
        left_out += SERVERS_ONLY
    coverage = Coverage()
    coverage.load()
    totals = [coverage.report(include=part, omit=left_out) for part in PARTS]
    if min(totals) < FLOOR:
        sys.exit(
            f"Coverage is under {FLOOR} %: {', '.join(f'{total:.2f} %' for total in totals)}."
        )


def is_tested(vendor: str) -> bool:
    if vendor not in VENDORS:
        return False
    with tempfile.TemporaryDirectory() as directory:
        try:
            _, drop = MAKERS[vendor](Path(directory))
        except OSError:
            return False
        drop()
        drop_all()
        return True


if __name__ == "__main__":
    main()

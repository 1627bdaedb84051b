"""
Finds functions of branches/ whose cyclomatic number is over 10, as radon counts it.

Ruff's C901 does not count comprehensions and the parts of conditions, so it sees few of them.
"""

import sys
from pathlib import Path

from radon.complexity import cc_visit

MOST = 10
ROOT = Path(__file__).parents[1] / "django_devtools" / "branches"

# Each takes the rows of an entry through one thing after the other, which depend on each other.
ALLOWED = {
    "stash/entry_restore.py: EntryRestore.update",
    "stash/restore.py: Restore._defaults",
    "stash/restore.py: Restore._restore",
    "stash/restore.py: Restore._settle",
    "stash/restore.py: Restore.restore",
}


def main() -> int:
    found = {}
    for file in sorted(ROOT.rglob("*.py")):
        for block in cc_visit(file.read_text()):
            if block.letter in "FM" and block.complexity > MOST:
                name = block.fullname
                found[f"{file.relative_to(ROOT).as_posix()}: {name}"] = block
    for name in sorted(found.keys() - ALLOWED):
        block = found[name]
        print(f"{name} (line {block.lineno}) has {block.complexity}: split it at its decisions.")
    for name in sorted(ALLOWED - found.keys()):
        print(f"{name} is simple now: take it out of {Path(__file__).name}.")
    return int(found.keys() != ALLOWED)


if __name__ == "__main__":
    sys.exit(main())

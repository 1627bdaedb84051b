"""The clock of the machine, which servers go by whatever a test does to that of its process."""

import sys
import time


def real_time() -> float:
    """``time.time()``, also where time-machine or freezegun have moved it."""
    time_machine = sys.modules.get("time_machine")
    if time_machine and time_machine.escape_hatch.is_travelling():
        real: float = time_machine.escape_hatch.time.time()
    elif freezegun := sys.modules.get("freezegun.api"):
        real = freezegun.real_time()
    else:
        real = time.time()
    return real

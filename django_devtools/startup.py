"""What the pytest plugin asks of this app before Django is there, and how it takes that back."""

from contextlib import ExitStack

wants_fake = False
"""Whether what apps enqueue while they are loaded goes to a fake: tests begin in this process."""

loading = ExitStack()
"""Ends that. The session of pytest decides anew."""

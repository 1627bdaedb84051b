"""The errors whose text is written for the person at the keyboard."""


class DevtoolsError(Exception):
    """
    Something that a person has to decide or repair: the text says what, and what to type.

    The commands show the text without a traceback. Each subclass stands in the module that raises
    it, except for those that several modules raise.
    """


class SwitchError(DevtoolsError):
    """
    A switch is refused or failed.

    ``way_out`` is the option with which it would not be refused for the same reason again, and
    loses nothing; empty if there is none.
    """

    def __init__(self, text: str, way_out: str = "") -> None:
        super().__init__(text)
        self.way_out = way_out


class Interrupted(KeyboardInterrupt):
    """Ctrl-C was pressed while a database was changed. The text says in which state it is."""


class UnfitRows(DevtoolsError):
    """The database rejects a migration because of rows that are there."""

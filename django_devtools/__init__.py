"""The database follows the git branch, and jobs that tests can trust."""

__version__ = "0.1.0"

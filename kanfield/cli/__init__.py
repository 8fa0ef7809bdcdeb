"""The command line. Everything that needs torch is imported when a command runs."""

from kanfield.cli.main import main

__all__ = ["main"]

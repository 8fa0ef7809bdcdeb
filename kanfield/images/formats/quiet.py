"""Libraries that would talk to the terminal, kept from it."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps what the TIFF and EXR libraries print, much of it past Python, from the terminal.

    Whatever matters is raised. Standard error is the whole process's: hold this no longer than needed.

    >>> with quiet():
    ...     print("Warning!")
    """
    logger = logging.getLogger("tifffile")
    saved, logged = os.dup(2), logger.disabled
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            os.dup2(nowhere.fileno(), 2)
            logger.disabled = True
            yield
    finally:
        logger.disabled = logged
        os.dup2(saved, 2)
        os.close(saved)

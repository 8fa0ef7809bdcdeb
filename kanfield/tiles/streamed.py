"""PNG and JPEG pictures beyond memory: decoded once, piece by piece, into a TIFF that is read by windows."""

from __future__ import annotations

import contextlib
import importlib.util
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from rich.console import Console

from kanfield.config.settings import Settings
from kanfield.errors import InputError, Interrupted
from kanfield.images import MAX_PIXELS
from kanfield.images.formats.pillow import stored_size
from kanfield.images.windows import Windows, open_windows
from kanfield.monitors.tolerant import say
from kanfield.training.memory import memory_limit
from kanfield.training.signals import Signals

_PEAK = 4  # bytes that decoding as a whole takes at its peak, for one of the picture


class _Ending(Signals):
    """Signals that end a block by an exception, so that it leaves no file behind."""

    def _note(self, number: int, frame: FrameType | None) -> None:
        super()._note(number, frame)
        raise Interrupted("interrupted", 128 + number)


def is_beyond_memory(path: Path, settings: Settings) -> bool:
    """Whether a file is a PNG or JPEG whose pixels are too many to be decoded as a whole here.

    False for more pixels than ``--max-pixels`` allows: reading them refuses them in words.
    """
    found, room = stored_size(path), memory_limit()
    if found is None or room is None:
        return False
    width, height, size = found
    return width * height <= (settings.max_pixels or MAX_PIXELS) and _PEAK * size > room


@contextlib.contextmanager
def streamed(path: Path, out: Path, console: Console | None) -> Iterator[Windows]:
    """Decode such a file for reading by windows.

    Args:
        path: The file.
        out: Folder of all runs, where the decoded pixels lie until a run takes them over.
        console: Where a line says what is on, or None.

    Yields:
        The windows; what they read is removed after the block where nobody moved it.

    Raises:
        InputError: libvips is not installed, or cannot decode the file.
        Interrupted: SIGINT, SIGTERM or SIGHUP came; nothing is left of what was decoded.
    """
    if importlib.util.find_spec("pyvips") is None:
        raise InputError(
            f"{path} does not fit in memory: pip install 'kanfield[vips]', which decodes it piece by piece, "
            "or convert it to TIFF"
        )
    say(console, f"{path} does not fit in memory: decoding it piece by piece")
    out.mkdir(parents=True, exist_ok=True)
    file = out / f".{path.stem[:40]}.{secrets.token_hex(4)}.tmp"
    with _Ending():
        try:
            _decode(path, file, out)
            windows = open_windows(file)
            if windows is None:
                raise InputError(
                    f"{path} is turned, or of other colours than gray or RGB: convert it to TIFF"
                )
            windows.path, windows.decoded = path, file
            yield windows
        finally:
            file.unlink(missing_ok=True)


def _decode(path: Path, file: Path, out: Path) -> None:
    try:
        import pyvips
    except (ImportError, OSError) as error:
        raise InputError(f"pyvips cannot be used ({error}): pip install 'kanfield[vips]'") from None
    with Signals() as signals:  # in libvips an exception would be lost
        try:
            picture = pyvips.Image.new_from_file(str(path), access="sequential", fail_on="error")
            picture.set_progress(True)
            picture.signal_connect("eval", lambda image, _: image.set_kill(signals.received is not None))
            picture.tiffsave(
                str(file), tile=True, tile_width=256, tile_height=256, compression="deflate", bigtiff=True
            )
        except pyvips.Error as error:
            if signals.received is None:
                reason = " ".join(str(error).split())
                raise InputError(
                    f"{path} cannot be decoded piece by piece ({reason}): save it again, "
                    f"or make room in {out}"
                ) from None
    if signals.received is not None:
        raise Interrupted("interrupted", 128 + signals.received)

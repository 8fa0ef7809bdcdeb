"""Names that users chose: as a folder's name, as words of a shell, as text on one line."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from pathlib import Path

# Bytes of a folder's name. File systems take 255, encrypted ones 143, and numbers and suffixes are added.
LONGEST = 120
# Control characters, line and paragraph separators, and what Python makes of bytes that are not UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def folder_name(name: str) -> str:
    """Name a folder after something, such as a picture or a model.

    Most names stay as they are. One that is too long, is nothing but dots, or has characters that a terminal
    or a text file cannot hold, is mended and gets a hash, so that two names never become the same.

    Args:
        name: Any text.

    >>> folder_name("photo [1]"), folder_name("..")
    ('photo [1]', '_-5ec1f7e7')
    """
    kept = _UNPRINTABLE.sub("_", re.sub(r"[/\\]", "_", name))
    kept = kept if kept.strip(". ") else "_"
    if kept == name and len(name.encode()) <= LONGEST:
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{kept.encode()[: LONGEST - 9].decode(errors='ignore')}-{digest}"


def printable(text: str) -> str:
    r"""Show text on one line of any terminal: what moves its cursor is escaped, and what is not Unicode.

    Args:
        text: Any text, such as a message with a file's name in it.

    >>> printable("a\nb\udcff")
    'a\\nb\\udcff'
    """
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def command_line(*words: str | Path) -> str:
    r"""Words as a command that can be pasted into a shell.

    Args:
        *words: The program, options, and their values. A path is never taken for an option.

    >>> command_line("kanfield", "fit", "--resume", Path("-my runs/a"))
    "kanfield fit --resume './-my runs/a'"
    >>> print(command_line("kanfield", "eval", Path("two\nlines")))
    kanfield eval $'two\012lines'
    """
    return " ".join(_quote(as_word(word)) for word in words)


def as_word(word: str | Path) -> str:
    """A word of a command; a path in such a way that it is not taken for an option.

    Args:
        word: The program, an option or a value.

    >>> as_word("--out"), as_word(Path("-my runs"))
    ('--out', './-my runs')
    """
    return f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word)


def _quote(word: str) -> str:
    if not _UNPRINTABLE.search(word):
        return shlex.quote(word)
    # Unlike '...', $'...' stays on one line and holds any byte.
    quoted = (
        chr(byte) if 32 <= byte < 127 and chr(byte) not in "\\'" else f"\\{byte:03o}"
        for byte in os.fsencode(word)
    )
    return f"$'{''.join(quoted)}'"

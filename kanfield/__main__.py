"""``python -m kanfield`` is the command ``kanfield``."""

from kanfield.cli import main

if __name__ == "__main__":
    main()

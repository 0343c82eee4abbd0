"""`python -m eraser` and the `eraser` command."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; `arguments` defaults to those of the process."""
    from eraser.cli import run
    from eraser.engines.heap import KEEP, share_one_arena

    os.environ.setdefault(KEEP, "1")
    share_one_arena()
    return run(sys.argv[1:] if arguments is None else list(arguments))


if __name__ == "__main__":
    sys.exit(main())

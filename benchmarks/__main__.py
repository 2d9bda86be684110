"""`python -m benchmarks NAME [--quick]`: one JSON line a figure; ends with 1 when a target is missed."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.report import Figure

NOT_BENCHMARKS: Final = {"__main__", "party", "report", "upload_kit"}


def names() -> list[str]:
    """Every module here with a `run(quick: bool)` that yields figures."""
    found = {each.name for each in pkgutil.iter_modules([str(Path(__file__).parent)]) if not each.ispkg}
    return sorted(found - NOT_BENCHMARKS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one benchmark; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=names())
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that it runs, and roughly how fast")
    options = parser.parse_args(arguments)
    met = True
    for figure in importlib.import_module(f"benchmarks.{options.name}").run(quick=options.quick):
        if not isinstance(figure, Figure):
            raise TypeError(f"{options.name} yields something that is no figure")
        print(figure.line(), flush=True)
        met = met and figure.ok is not False
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

"""Convert WMCA to the layout of the published lists; a second run finishes only what is missing."""

from __future__ import annotations

import argparse
import sys

from mmfas.cli.conversion import add_conversion_arguments, run_conversion
from mmfas.cli.errors import reports_user_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command.

    Args:
        parser: Parser to extend.
    """
    add_conversion_arguments(parser)


@reports_user_errors(2, on_interrupt='interrupted; the same command continues')
def main(argv: list[str] | None = None) -> int:
    """Convert what the lists name.

    Args:
        argv: Arguments; those of the process if None.

    Returns:
        Exit status: 0 if all that the lists need is there, 1 if something is missing, 2 for wrong arguments.
    """
    parser = argparse.ArgumentParser(prog='mmfas convert_wmca', description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)
    from mmfas.datasets.conversion import WmcaConverter

    return run_conversion(WmcaConverter(), args)


if __name__ == '__main__':
    sys.exit(main())

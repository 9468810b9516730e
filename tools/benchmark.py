"""Run methods over protocols and report them: `python tools/benchmark.py run METHOD...`; see `--help`."""

import sys

from mmfas.cli.benchmark import main

if __name__ == '__main__':
    sys.exit(main())

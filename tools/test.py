"""Test a checkpoint: `python tools/test.py CONFIG CHECKPOINT [options]`; see `--help`."""

import sys

from mmfas.cli.test import main

if __name__ == '__main__':
    sys.exit(main())

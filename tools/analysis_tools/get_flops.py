"""Count parameters and operations of a model: `python tools/analysis_tools/get_flops.py --help`."""

import sys

from mmfas.cli.measure.flops import main

if __name__ == '__main__':
    sys.exit(main())

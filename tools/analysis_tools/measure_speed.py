"""Time a model beside its plain trunk: `python tools/analysis_tools/measure_speed.py --help`."""

import sys

from mmfas.cli.measure.speed import main

if __name__ == '__main__':
    sys.exit(main())

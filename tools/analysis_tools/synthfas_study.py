"""Measure how hard SynthFAS is: `python tools/analysis_tools/synthfas_study.py hardness`; see `--help`."""

import sys

from mmfas.cli.synthfas_study import main

if __name__ == '__main__':
    sys.exit(main())

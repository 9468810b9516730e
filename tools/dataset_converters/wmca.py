"""Convert WMCA: `python tools/dataset_converters/wmca.py SRC OUT`, as docs/en/datasets.md explains."""

import sys

from mmfas.cli.convert_wmca import main

if __name__ == '__main__':
    sys.exit(main())

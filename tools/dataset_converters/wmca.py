"""Convert WMCA: `python tools/dataset_converters/wmca.py SRC OUT`, as docs/en/datasets.md explains."""

import sys

from mmfas.cli.data.convert import main

if __name__ == '__main__':
    sys.exit(main(['wmca', *sys.argv[1:]]))

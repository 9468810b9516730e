"""Convert PADISI-USC: `python tools/dataset_converters/padisi.py SRC OUT`, as docs/en/datasets.md explains."""

import sys

from mmfas.cli.data.convert import main

if __name__ == '__main__':
    sys.exit(main(['padisi', *sys.argv[1:]]))

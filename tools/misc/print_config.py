"""Print a config with everything it inherits: `python tools/misc/print_config.py --help`."""

import sys

from mmfas.cli.print_config import main

if __name__ == '__main__':
    sys.exit(main())

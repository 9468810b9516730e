"""`python -m mmfas` is the command `mmfas`."""

import sys

from mmfas.cli.__main__ import main

sys.exit(main())

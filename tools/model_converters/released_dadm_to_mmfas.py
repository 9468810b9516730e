"""Wrapper of `mmfas weights convert released_dadm` for a source checkout."""

import sys

from mmfas.cli.weights.convert import main

raise SystemExit(main(['released_dadm', *sys.argv[1:]]))

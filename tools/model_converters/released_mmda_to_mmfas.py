"""Wrapper of `mmfas weights convert released_mmda` for a source checkout."""

import sys

from mmfas.cli.weights.convert import main

raise SystemExit(main(['released_mmda', *sys.argv[1:]]))

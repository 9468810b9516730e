"""Wrapper of `mmfas scores eval` for a source checkout."""

from mmfas.cli.scores.eval import main

raise SystemExit(main())

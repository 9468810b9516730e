"""Wrapper of `mmfas scores plot` for a source checkout."""

from mmfas.cli.scores.plot import main

raise SystemExit(main())

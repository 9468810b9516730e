"""Wrapper of `mmfas.cli.eval_scores` for a source checkout."""

from mmfas.cli.eval_scores import main

raise SystemExit(main())

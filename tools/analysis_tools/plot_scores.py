"""Wrapper of `mmfas.cli.plot_scores` for a source checkout."""

from mmfas.cli.plot_scores import main

raise SystemExit(main())

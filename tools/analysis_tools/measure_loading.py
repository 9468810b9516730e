"""Wrapper of `mmfas measure loading` for a source checkout."""

from mmfas.cli.measure.loading import main

raise SystemExit(main())

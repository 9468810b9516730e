"""Wrapper of `mmfas measure leakage` for a source checkout."""

from mmfas.cli.measure.leakage import main

raise SystemExit(main())

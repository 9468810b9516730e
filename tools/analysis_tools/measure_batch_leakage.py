"""Wrapper of `mmfas.cli.measure_batch_leakage` for a source checkout."""

from mmfas.cli.measure_batch_leakage import main

raise SystemExit(main())

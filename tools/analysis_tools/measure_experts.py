"""Wrapper of `mmfas.cli.measure_experts` for a source checkout."""

from mmfas.cli.measure_experts import main

raise SystemExit(main())

"""Wrapper of `mmfas.cli.analyze_logs` for a source checkout."""

from mmfas.cli.analyze_logs import main

raise SystemExit(main())

"""Wrapper of `mmfas.cli.study_batch_leakage` for a source checkout."""

from mmfas.cli.study_batch_leakage import main

raise SystemExit(main())

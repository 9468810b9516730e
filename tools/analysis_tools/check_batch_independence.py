"""Wrapper of `mmfas.cli.check_batch_independence` for a source checkout."""

from mmfas.cli.check_batch_independence import main

raise SystemExit(main())

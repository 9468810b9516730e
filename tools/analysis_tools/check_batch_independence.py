"""Wrapper of `mmfas measure batch` for a source checkout."""

from mmfas.cli.measure.batch import main

raise SystemExit(main())

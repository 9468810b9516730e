"""Wrapper of `mmfas.cli.browse_dataset` for a source checkout."""

from mmfas.cli.browse_dataset import main

raise SystemExit(main())

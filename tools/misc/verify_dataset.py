"""Wrapper of `mmfas.cli.verify_dataset` for a source checkout."""

from mmfas.cli.verify_dataset import main

raise SystemExit(main())

"""Wrapper of `mmfas.cli.fill_reference_bank` for a source checkout."""

from mmfas.cli.fill_reference_bank import main

raise SystemExit(main())

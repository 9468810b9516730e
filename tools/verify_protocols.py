"""Wrapper of `mmfas.cli.verify_protocols` for a source checkout."""

from mmfas.cli.verify_protocols import main

raise SystemExit(main())

"""Wrapper of `mmfas weights prompts` for a source checkout."""

from mmfas.cli.weights.prompts import main

raise SystemExit(main())

"""Wrapper of `mmfas.cli.encode_prompts` for a source checkout."""

from mmfas.cli.encode_prompts import main

raise SystemExit(main())

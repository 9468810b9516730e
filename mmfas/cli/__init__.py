"""The command line: each file parses its arguments and calls."""

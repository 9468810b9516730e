"""The command line: each file parses the arguments of one command and calls the function that does the work."""

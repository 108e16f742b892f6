"""The four commands: parse, build, call one library function, report."""

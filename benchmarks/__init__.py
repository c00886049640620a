"""How fast firehot_server and its peers reload and start: `python -m benchmarks --help`."""

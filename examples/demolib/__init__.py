"""The parts of examples/demo.py: the libraries it calls, the runner, the server, the report."""

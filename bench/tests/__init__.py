"""Tests of the driver; in bench/: python3 -m unittest discover -s tests -t ."""

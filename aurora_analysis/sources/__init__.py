"""Fetch and parse: AWS services and log files, with tidy frames as results."""

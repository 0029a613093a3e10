"""Run `aurora-analysis` as `python -m aurora_analysis`."""

from aurora_analysis.cli import main

main()

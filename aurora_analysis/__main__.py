"""`python -m aurora_analysis` is `aurora-analysis`."""

from aurora_analysis.cli import main

main()

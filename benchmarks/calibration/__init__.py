"""Is the verdict right? A writer whose truth is planted, many times over, and gates that the verdicts must pass."""

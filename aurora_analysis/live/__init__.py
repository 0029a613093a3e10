"""Sample live servers: who blocks purge now, and randomised trials of a query."""

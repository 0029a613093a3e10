"""A real InnoDB server as a stand-in cluster, and a simulated cluster."""

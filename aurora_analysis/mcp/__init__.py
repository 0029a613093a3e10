"""Serve verdicts with their evidence to agents over the Model Context Protocol: nothing is written, and there is no SQL tool.

- `models`   what each tool returns
- `reports`  findings of the reports in a folder
- `limits`   the limits of a cluster, and the review of a planned query
- `server`   the tools and resources
"""

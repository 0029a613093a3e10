"""The report: run notebooks for a window of each cluster, and publish their pages with one index of findings.

- `suite`      lists the notebooks and their parameters
- `runner`     runs them on an executor; a failure is an outcome
- `kernels`    forks their kernels from a process that has the imports
- `html`       turns an executed notebook into a page that sends no request
- `figures`    turns SVG into inline SVG by an allow-list
- `tiles`      draws sparklines as small multiples
- `tables`     gives tables titles, human units and dashes
- `statements` writes the page of statements: SQL, users, instances, calls and time
- `index`      writes the front page and findings.json
- `markdown`   writes findings.md, to paste into a chat, an e-mail or a pull request
- `pdf`        prints the pages through an installed browser
- `records`    reads the findings.json of reports
- `repeat`     reads the run that an earlier findings.json records
- `build`      builds the whole report in a folder that appears at once
- `replacement` replaces a report's folder at once
- `abandoned`  removes what killed reports left
- `watcher`    does so at once, as a small process beside each report
- `history`    writes the page over all reports of an archive
- `record`     writes the findings into the store
- `publish`    puts a report into a folder, a bucket or an archive

This module imports nothing of the suite's: workers import only `runner`, `kernels`, `html` and `tiles`.
"""

import sys

# nbformat imports jsonschema, which compiles the grammar of IRIs where it finds one of these packages: 1.3 s of CPU for each process. No
# schema of notebooks has an IRI. None makes a package absent.
for name in ("rfc3987_syntax", "rfc3986_validator"):
    sys.modules.setdefault(name, None)  # type: ignore[arg-type]

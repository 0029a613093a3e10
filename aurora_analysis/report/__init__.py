"""The report: notebooks run for a window of each cluster, their pages, and one index of what they found.

- `suite`   which notebooks there are, and the parameters that each declares
- `runner`  runs them in a pool of processes; a failure is an outcome
- `html`    an executed notebook as a page that runs nothing
- `tiles`   sparklines as small multiples
- `statements` the page of what stands behind each short id
- `index`   the front page, and the same as findings.json
- `build`   all of it, into a folder that appears at once
- `history` the page of many reports in one folder
- `record`  the findings as rows of the store
- `publish` where a report goes: a folder, a bucket, an archive

Workers import `runner`, `html` and `tiles` only: nothing is imported here.
"""

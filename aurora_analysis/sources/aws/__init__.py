"""AWS as a source of data: each module but `rds` has the functions `chunks` and `fetch` of one source."""

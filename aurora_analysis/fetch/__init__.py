"""Fetch: what a cluster is, what the store lacks of it, and how to get it from AWS.

survey   the cluster now and before, its events and roles
plan     a chunk for each day, instance and source that coverage does not mark as done
run      all chunks at once, each within its service's rate
summary  lines for a person
doctor   checks of what is reachable, permitted and enabled
"""

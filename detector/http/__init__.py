"""HTTP as sinks, the schema registry and the token endpoint speak it: one request, one answer, in time."""

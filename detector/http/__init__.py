"""HTTP for sinks, the schema registry and the token endpoint: one request, one response, within a time limit."""

"""The engines: each computes a Case with its framework's own functions and reports a Trace."""

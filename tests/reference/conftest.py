"""The Hypothesis profile of these tests: the same draws in every run."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "reference", derandomize=True, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("reference")

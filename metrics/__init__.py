"""The metrics: pure functions of arrays; imports neither benchmark nor baselines."""

"""The methods: one folder each, all behind `baselines.method.Method`."""

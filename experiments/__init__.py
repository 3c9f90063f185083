"""One file per experiment: Config, presets, run(cfg). Run with ``python -m experiments.NAME``."""

"""Methods on tasks over seeds: levels, paired gains, claims and verdicts."""

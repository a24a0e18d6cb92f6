"""Benchmarks built from scenes or from the parts of the world; ``miniworld.build.BENCHMARKS`` has the list."""

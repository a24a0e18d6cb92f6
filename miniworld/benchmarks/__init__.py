"""Benchmarks made of scenes or of the parts of the world; ``miniworld.build.BENCHMARKS`` has the list."""

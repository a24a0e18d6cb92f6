"""Makes data about negation: statements and their wording, NegBench's files, annotators, and further items."""

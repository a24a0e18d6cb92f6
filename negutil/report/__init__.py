"""The report, README's generated parts, and the generated pages in docs/."""

"""The output: tables, JSON, Markdown, progress, and the options of the command lines."""

"""Show answers: tables, JSON, Markdown, progress."""

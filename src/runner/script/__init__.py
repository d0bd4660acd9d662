"""The revisions as files and as a graph."""

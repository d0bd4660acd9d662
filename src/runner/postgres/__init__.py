"""Connections, sessions, time-outs, locks, SQLSTATEs, and the one reader of SQL."""

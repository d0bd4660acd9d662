"""Look ahead without changing anything: plan, lint, rehearsal and check."""

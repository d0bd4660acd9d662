"""What a statement does to rows and to the application: what it reads, rewrites, and what is missed afterwards."""

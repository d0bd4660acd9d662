"""The AWS side: invoking a function, following its log, promoting its image."""

"""What decides: business hours and holidays, limits, the channel, and a day of sends."""

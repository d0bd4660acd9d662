"""Phones and addresses: how they are found in a text, what is sent to, and the keys of a blocklist."""

"""Fictitious leads."""

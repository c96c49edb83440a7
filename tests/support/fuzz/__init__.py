"""Fuzz the reader with valid workbooks whose bytes, zip and XML are changed at random."""

"""Lets the folders below import the harnesses that lie here."""

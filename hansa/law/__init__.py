"""The law as dated data: groups of countries, laws of third countries, presets, and what they expand to on a day."""

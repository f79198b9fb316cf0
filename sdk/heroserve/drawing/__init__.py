"""Explanations as pictures: what needs Pillow, and is imported where something is drawn."""

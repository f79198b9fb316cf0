"""Accuracy against tokens: HERO, HERO with a part removed, and other rules, on the same questions in the same run."""

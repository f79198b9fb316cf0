"""Accuracy against visual tokens, of anybody's own questions: what is right, how sure that is, and how it is shown."""

from heroserve.curve.matching import Match, Rule, is_right
from heroserve.curve.points import Curve, Point, Row, measure

__all__ = ["Curve", "Match", "Point", "Row", "Rule", "is_right", "measure"]

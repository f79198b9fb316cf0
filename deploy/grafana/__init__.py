"""Dashboards as code; ``make generate`` writes them to dashboards/*.json.

Plain dataclasses. The Grafana Foundation SDK would be the other way; it numbers its releases by epoch and Grafana
version, so that pip's newest is the one for the oldest Grafana, and the JSON would change with every pin.
"""

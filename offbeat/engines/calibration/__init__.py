"""Thresholds that meet a budget of alerts or incidents."""

"""Signed notifications of job events to addresses that users register (Standard Webhooks)."""

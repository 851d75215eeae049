"""Environments, the worker processes that run in them, and the dispatch of steps to them."""

"""Drift and acquisition health: have a camera's pictures, or what a model says of them, become others?"""

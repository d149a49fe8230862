"""Recipes as people change them: history, wishes, checks. What is in force, `inspection/recipes.py` says."""

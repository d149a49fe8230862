"""The engineers' page: recipes in force, their history, and changes of them."""

"""One module a kind of harm; every module here is imported, and what it registers is a fault."""

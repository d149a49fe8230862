"""Who may see and do what: accounts, sign-in, sessions, and the doors of pages and HTTP routes."""

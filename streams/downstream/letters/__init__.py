"""Dead letters as people work with them: found, looked at, sent again."""

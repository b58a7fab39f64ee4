"""How people get into the console and stay in: password, second factor, sessions, and proving oneself again."""

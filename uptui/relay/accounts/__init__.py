"""Who may use the relay, under which names and how much: logins, aliases, quotas, usage."""

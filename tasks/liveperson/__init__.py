"""LivePerson's Connector API, as Overture uses it: hosts, tokens, conversations, engagements."""

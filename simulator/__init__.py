"""LivePerson on a laptop: the Connector API as documented, with settable limits and faults."""

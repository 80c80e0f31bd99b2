"""The demo: a LivePerson on this machine, two workers, a thousand jobs, and whether it adds up."""

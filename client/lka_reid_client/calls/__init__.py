"""Functions that make calls, one a route; a client has a method for each."""

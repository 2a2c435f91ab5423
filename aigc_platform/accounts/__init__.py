"""Users and the tokens they call the API with."""

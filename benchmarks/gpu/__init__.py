"""What a GPU gives this project: one command, a few minutes, planned beside measured."""

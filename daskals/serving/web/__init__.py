"""A model served over HTTP: what is asked, how it is answered, and what guards it. The room of FastAPI."""

"""One command a file: a function whose parameters are its arguments and options. `app` lists them."""

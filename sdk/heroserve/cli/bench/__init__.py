"""`heroserve bench`'s parts: a picture, two doors to ask by, a load, and what is made of its outcomes."""

"""``python -m models.training``: train the reference model."""

from .recipe import main

if __name__ == "__main__":
    main()

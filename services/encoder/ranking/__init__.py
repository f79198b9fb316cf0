"""From a pass of the tower to rows in the order HERO keeps them."""

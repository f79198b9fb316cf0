"""What becomes of questions while parts of a real stack are killed, frozen, filled up and emptied."""

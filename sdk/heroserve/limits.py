"""What both ends agree on."""

# Largest request or response in bytes; the services refuse more as well.
MAX_MESSAGE_BYTES = 64 << 20

"""The OpenAI door: ``/v1/chat/completions`` and ``/v1/models`` to jobs and back, as OpenAI's own clients know them."""

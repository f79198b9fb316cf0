"""What traffic needs: replicas of each service, GPUs, Redis, network and money, from a checkpoint's config alone."""

"""What both services share: settings, status mapping, metrics, logs, checkpoints, and how they are run."""

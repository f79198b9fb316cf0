"""lmms-eval's tasks at several retentions, over OpenAI's API, on any checkpoint that is served."""

"""The synthetic world: scenes, their pictures, and what can be asked and said about them.

``scene`` and ``render`` draw; ``questions``, ``captions`` and ``labels`` say what is right; ``tiles`` cuts as the
encoder does; ``samples`` shows it to people. Training, benchmarks and tests read it, and it reads none of them.
"""

"""The command line: answers go to stdout, everything about them to stderr.

A command is a file in `commands`. Exit statuses, of all of them:

0    done
1    the call failed: nobody there, overload, no or a wrong key, a bug; or stdout can't be written
2    what was asked for can't be done: an option, a question, a picture
3    some questions of many have no answer
130  Ctrl-C
141  whoever read stdout has gone, as of any program in a pipe

With --json an error is one line of JSON on stderr, {"error": {...}}, and stdout stays empty; but an answer that could
not be drawn into --explain's file is there, for it had its price, and so is what `bench` measured where some of it
failed.
"""

from heroserve.cli.app import app

__all__ = ["app"]

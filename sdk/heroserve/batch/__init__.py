"""Many questions, asked a few at a time, and their answers in a file that a later run goes on with.

    from heroserve.batch import ask_many

    with heroserve.Client() as client:
        for outcome in ask_many(client, questions, lambda each: ask_request(each.image, each.text)):
            print(outcome.item, outcome.answer or outcome.error)

The rest is what `heroserve batch` and `heroserve curve` are made of: `read_questions` and `picture_questions` know the
files that they take, `AnswerFile` the ones that they write.
"""

from heroserve.batch.answers import AnswerFile
from heroserve.batch.folder import picture_questions
from heroserve.batch.many import PATIENT, Outcome, ask_many
from heroserve.batch.question import BadLine, Question
from heroserve.batch.questions import read_questions
from heroserve.requests import ask_request

__all__ = [
    "PATIENT",
    "AnswerFile",
    "BadLine",
    "Outcome",
    "Question",
    "ask_many",
    "ask_request",
    "picture_questions",
    "read_questions",
]

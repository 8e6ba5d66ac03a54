"""Sessions as token ids with their labels, and batches of them."""

import array
import json
import random

import numpy as np
import torch

from tokenizer import ASSISTANT, END, PAD, USER, Tokenizer, learn

PATCHES = 64
# Classes of the helper losses about lines: their number, 0 is none.
LINES = 16
ORIENTATIONS, COLOURS = ["horizontal", "vertical"], ["red", "green", "blue", "yellow", "white", "black"]
LINE_END = "\u010a"
ENDS_OF_SENTENCE = (".", "." + LINE_END)


def read_lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def learn_tokenizer(sessions, size):
    """`new` and every digit must be one token each: their probabilities are read from one forward pass."""
    texts = [turn[side] for session in sessions for turn in session["turns"] for side in ("input", "answer")]
    return Tokenizer(*learn(texts, size, whole=("new",)))


class Example:
    """One session: ids, which of them are answers, and what the helper losses expect at which place.

    Lists: `line` is the number of the line a token stands in, `meant_line` 1 + the number of the line that is meant.
    Articles: `opening` and `opening2` are the first two tokens of the sentence a token stands in, `meant_opening` and
    `meant_opening2` those of the sentence that answers, END if none does. 0 stands for "not asked here".
    """

    LABELS = ("line", "meant_line", "opening", "opening2", "meant_opening", "meant_opening2")
    __slots__ = ("kind", "ids", "answer", "items", *LABELS)

    def __init__(self, session, tokenizer):
        self.kind = session["kind"]
        first = session["turns"][0]["input"]
        self.items = first.count("\n") - 1 if self.kind == "todo" else 0
        ids, answer = [], []
        labels = {name: [] for name in self.LABELS}
        openings = [(END, END)]
        for number, turn in enumerate(session["turns"]):
            opens_with_picture = self.kind == "lock" and number == 0
            text = tokenizer.encode(("\n" if opens_with_picture else "") + turn["input"])
            said = tokenizer.encode(turn["answer"])
            head = [USER] + [PAD] * PATCHES * opens_with_picture
            place = len(ids) + len(head)
            ids += head + text + [ASSISTANT] + said + [END]
            answer += [0] * (len(head) + len(text) + 1) + [1] * (len(said) + 1)
            for values in labels.values():
                values += [0] * (len(ids) - len(values))
            if turn["input"].startswith("Todos:"):
                _number_lines(text, tokenizer, labels["line"], place)
            elif turn["input"].startswith("Article:"):
                openings += _open_sentences(text, tokenizer, labels, place)
            if "clue" in turn:
                settled = place + len(tokenizer.encode(turn["input"][: turn["clue"]])) - 1
                asked = slice(settled, place + len(text))
                length = asked.stop - asked.start
                if self.kind == "todo":
                    labels["meant_line"][asked] = [1 + turn["meant"]] * length
                else:
                    labels["meant_opening"][asked] = [openings[turn["meant"]][0]] * length
                    labels["meant_opening2"][asked] = [openings[turn["meant"]][1]] * length
        self.ids, self.answer = array.array("h", ids), array.array("b", answer)
        for name, values in labels.items():
            setattr(self, name, array.array("h", values))


def _number_lines(text, tokenizer, line, place):
    """Numbers the lines of a list from 1; the line before it and the one that asks stay 0."""
    number, last = 0, max(at for at, token in enumerate(text) if tokenizer.tokens[token].endswith(LINE_END))
    for at, token in enumerate(text[: last + 1]):
        line[place + at] = number
        number += tokenizer.tokens[token].endswith(LINE_END)


def _open_sentences(text, tokenizer, labels, place):
    """Labels the sentences of an article with their first two tokens, and returns those of each."""
    openings, start = [], 2  # behind "Article:"
    for at, token in enumerate(text):
        if tokenizer.tokens[token] not in ENDS_OF_SENTENCE:
            continue
        first, second = text[start], text[start + 1]
        openings.append((first, second))
        for place_in_sentence in range(start, at + 1):
            labels["opening"][place + place_in_sentence] = first
            # The first word can't know the second.
            labels["opening2"][place + place_in_sentence] = second if place_in_sentence > start else 0
        start = at + 1
        if tokenizer.tokens[token].endswith(LINE_END):
            break
    return openings


def batch(examples):
    """Padded tensors by name: ids, answer and the labels."""
    length = max(len(example.ids) for example in examples)
    out = {}
    for name in ("ids", "answer", *Example.LABELS):
        out[name] = torch.zeros(len(examples), length, dtype=torch.long)
        for row, example in zip(out[name], examples):
            values = getattr(example, name)
            row[: len(values)] = torch.from_numpy(np.array(values, dtype=np.int64))
    return out


def batches(examples, tokens, seed):
    """Endless batches of one kind and of similar lengths, about `tokens` ids each, in random order."""
    shuffle = random.Random(seed)
    while True:
        order = list(examples)
        shuffle.shuffle(order)
        for start in range(0, len(order), 4096):
            window = sorted(order[start : start + 4096], key=lambda example: (example.kind, len(example.ids)))
            groups, group = [], []
            for example in window:
                full = (len(group) + 1) * len(example.ids) > tokens
                if group and (full or group[0].kind != example.kind):
                    groups.append(group)
                    group = []
                group.append(example)
            groups.append(group)
            shuffle.shuffle(groups)
            for one in groups:
                yield batch(one)

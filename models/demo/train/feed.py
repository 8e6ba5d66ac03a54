"""Endless batches for one of the training processes: text, and pictures with questions about them."""

import random

import numpy as np
import torch

from dataset import COLOURS, ORIENTATIONS, Example, batch, batches, read_lines
from model import Config


class Locks:
    """Pictures, mirrored and turned at random. A turned one takes its questions from those for the turned bar."""

    def __init__(self, directory, tokenizer, seed):
        self.meta = read_lines(f"{directory}/pictures.jsonl")
        raw = np.fromfile(f"{directory}/pictures.rgb", dtype=np.uint8)
        self.rgb = raw.reshape(len(self.meta), Config.side, Config.side, 3)
        self.questions = {}
        for line in read_lines(f"{directory}/lock-sessions.jsonl"):
            example = Example(line["session"], tokenizer)
            self.questions.setdefault(tuple(line["meta"].values()), []).append(example)
        self.chance = random.Random(seed)

    def _look(self, indices):
        """The pictures as they are shown, and whether they were turned by a quarter, and their bars with them."""
        pictures = torch.from_numpy(self.rgb[indices].copy())
        if self.chance.random() < 0.5:
            pictures = pictures.flip(1)
        if self.chance.random() < 0.5:
            pictures = pictures.flip(2)
        turned = self.chance.random() < 0.5
        return (pictures.transpose(1, 2).contiguous() if turned else pictures), turned

    def take(self, count):
        """Pictures, the batch of their sessions, and what the pictures show."""
        indices = [self.chance.randrange(len(self.meta)) for _ in range(count)]
        pictures, turned = self._look(indices)
        examples, shown = [], []
        for index in indices:
            present, orientation, colour = self.meta[index].values()
            upright = ORIENTATIONS.index(orientation) ^ turned
            examples.append(self.chance.choice(self.questions[present, ORIENTATIONS[upright], colour]))
            shown.append((int(present), upright, COLOURS.index(colour)))
        return pictures, batch(examples), torch.tensor(shown).t()


class Texts:
    """Sessions of text, this process's share of them."""

    def __init__(self, directory, tokenizer, share, tokens, seed):
        sessions = read_lines(f"{directory}/sessions.jsonl")[share]
        examples = [Example(session, tokenizer) for session in sessions]
        # Matching among three is found sooner than among eight.
        easy = [one for one in examples if one.items <= 3 and len(one.ids) <= 220]
        self.easy, self.all = batches(easy, tokens, seed), batches(examples, tokens, seed)

    def take(self, easy):
        return next(self.easy if easy else self.all)

"""What training minimises: the answers' tokens, and the helper losses that show the blocks early what to compute."""

import torch
import torch.nn.functional as F
from torch import nn

from dataset import COLOURS, LINES, PATCHES

# Blocks after which the helper losses look: where a token stands is known early, what is meant follows from that.
PLACE_AFTER, MEANT_AFTER = 1, 3
OPENINGS_LOOKED_AT = 0.25  # of the articles' tokens; all of them would only cost more


class Helpers(nn.Module):
    """Heads for the helper losses. Only training needs them; they are not exported."""

    def __init__(self, config):
        super().__init__()
        width = config.width
        self.line, self.meant_line = nn.Linear(width, LINES), nn.Linear(width, LINES)
        self.opening, self.opening2 = nn.Linear(width, width), nn.Linear(width, width)
        self.meant_opening, self.meant_opening2 = nn.Linear(width, width), nn.Linear(width, width)
        self.present, self.upright = nn.Linear(width, 2), nn.Linear(width, 2)
        self.colour = nn.Linear(width, len(COLOURS))

    def of_pictures(self):
        return [*self.present.parameters(), *self.upright.parameters(), *self.colour.parameters()]

    def of_text(self):
        pictures = {id(parameter) for parameter in self.of_pictures()}
        return [parameter for parameter in self.parameters() if id(parameter) not in pictures]


def _token_loss(text, hidden, ids, at):
    """Cross-entropy of the tokens that are marked in `at`, each from the state before it."""
    at = at[:, 1:]
    return F.cross_entropy(text.logits(hidden[:, :-1][at]).float(), ids[:, 1:][at])


def _line_loss(text, head, states, labels, first_class):
    at = labels > 0
    return F.cross_entropy(head(text.norm(states[at])).float(), labels[at] - first_class)


def _opening_loss(text, head, states, labels, share=1.0):
    at = labels > 0
    if share < 1:
        at &= torch.rand(at.shape) < share
    return F.cross_entropy(text.logits(head(text.norm(states[at]))).float(), labels[at])


def text_losses(text, helpers, batch, prompt_weight):
    """Name to (weight, loss). At the very start the prompts' tokens count a little: words find their places sooner.

    Without `helpers`, only the answers count.
    """
    ids, after = batch["ids"], []
    hidden = text(text.embedding(ids), after)
    answer = batch["answer"] == 1
    losses = {"text": (1, _token_loss(text, hidden, ids, answer))}
    if prompt_weight > 0:
        losses["prompt"] = (prompt_weight, _token_loss(text, hidden, ids, ~answer & (ids > 0)))
    if helpers is None:
        return losses
    place, meant = after[PLACE_AFTER], after[MEANT_AFTER]
    if (batch["line"] > 0).any():
        losses["line"] = (0.3, _line_loss(text, helpers.line, place, batch["line"], 0))
        losses["meant_line"] = (0.4, _line_loss(text, helpers.meant_line, meant, batch["meant_line"], 1))
    if (batch["opening"] > 0).any():
        for name in ("opening", "opening2"):
            loss = _opening_loss(text, getattr(helpers, name), place, batch[name], OPENINGS_LOOKED_AT)
            losses[name] = (0.1, loss)
    if (batch["meant_opening"] > 0).any():
        for name in ("meant_opening", "meant_opening2"):
            losses[name] = (0.15, _opening_loss(text, getattr(helpers, name), meant, batch[name]))
    return losses


def lock_losses(text, vision, helpers, pictures, batch, shown):
    """The same for pictures. Every session opens with one: its patches stand right behind the first token.

    Without `helpers`, the vision model stays as it is, and only the text model learns.
    """
    ids = batch["ids"]
    with torch.set_grad_enabled(helpers is not None):
        features = vision(pictures).float()
    embedded = text.embedding(ids)
    hidden = text(torch.cat((embedded[:, :1], features, embedded[:, 1 + PATCHES :]), 1))
    answers = {"lock": (1, _token_loss(text, hidden, ids, batch["answer"] == 1))}
    if helpers is None:
        return answers
    present, upright, colour = shown
    there, mean = present == 1, features.mean(1)
    return answers | {
        "present": (0.3, F.cross_entropy(helpers.present(mean).float(), present)),
        "upright": (1, F.cross_entropy(helpers.upright(mean[there]).float(), upright[there])),
        "colour": (0.5, F.cross_entropy(helpers.colour(mean[there]).float(), colour[there])),
    }

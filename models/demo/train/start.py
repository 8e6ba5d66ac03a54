"""The first weights. Random, but for heads that already do what attention would take hours to find on a CPU:

- block 0, heads 0 and 1 look at the previous token and the one before it (through RoPE's phase);
- block 1, heads 0 and 1 are induction heads: they look behind an earlier occurrence of the token and copy;
- block 2, heads 2 and 3 look at earlier occurrences of the token itself, to match words between question and text.

The vision model starts from cosine waves across its patches and their absolute values: which way edges run is in there.
"""

import math

import torch
from torch import nn

STEADY = 12  # rows of a head from here on turn so slowly that they compare content, not distance


def _random(model):
    config = model.config
    nn.init.normal_(model.embedding.weight, std=0.1)
    model.embedding.weight[:, 0] = 0.5  # a constant that heads can read
    for name, weight in model.named_parameters():
        if weight.dim() == 2 and "embedding" not in name:
            nn.init.normal_(weight, std=1 / math.sqrt(weight.shape[1]))
    for block in model.blocks:
        nn.init.normal_(block.o.weight, std=0.01)
        nn.init.normal_(block.down.weight, std=0.01)
    return config.width, config.width // config.heads


def _directions(width):
    """Orthogonal rows that ignore the constant."""
    return torch.cat((torch.zeros(width - 1, 1), torch.linalg.qr(torch.randn(width - 1, width - 1))[0]), 1)


@torch.no_grad()
def structured_text(model):
    width, size = _random(model)
    read, write, copy, match = (_directions(width) for _ in range(4))
    look_back, induction, matching = model.blocks[0], model.blocks[1], model.blocks[2]
    for head in (0, 1):
        rows = slice(head * size, (head + 1) * size)
        q, k = look_back.q.weight[rows].mul_(0.1), look_back.k.weight[rows].mul_(0.1)
        q[0::2, 0] = 1.2
        k[0::2, 0] = 1.2 * torch.cos(model.speeds * (head + 1))
        k[1::2, 0] = 1.2 * torch.sin(model.speeds * (head + 1))
        look_back.v.weight[rows] = read[rows]
        look_back.o.weight[:, rows] = 0.2 * write[rows].t()

        q, k = induction.q.weight[rows].mul_(0.1), induction.k.weight[rows].mul_(0.1)
        q[STEADY - 2 :] += 1.7 * read[0:size][STEADY - 2 :]
        k[STEADY - 2 :] += 1.7 * write[0:size][STEADY - 2 :]
        induction.v.weight[rows] = copy[rows]
        induction.o.weight[:, rows] = copy[rows].t()
    for place, head in enumerate((2, 3)):
        rows = slice(head * size, (head + 1) * size)
        content = size - STEADY
        q, k = matching.q.weight[rows].mul_(0.1), matching.k.weight[rows].mul_(0.1)
        q[STEADY:] += 1.5 * match[place * content : (place + 1) * content]
        k[STEADY:] += 1.5 * match[place * content : (place + 1) * content]


def _waves(side):
    """The orthonormal rows of a cosine transform: row u makes u half-waves along the patch."""
    place = torch.arange(side).float() + 0.5
    rows = torch.cos(math.pi * torch.arange(side).float()[:, None] * place / side) * math.sqrt(2 / side)
    rows[0] /= math.sqrt(2)
    return rows


def _patch_filters(side, count):
    """Slow waves first, each in brightness and in two mixtures of colour. The mean alone is scaled down."""
    waves = _waves(side)
    mixtures = torch.tensor([[1.0, 1, 1], [1, 0, -1], [1, -2, 1]])
    mixtures /= mixtures.norm(dim=1, keepdim=True)
    pairs = sorted(
        ((u, v) for u in range(side) for v in range(side)), key=lambda pair: (sum(pair), -abs(pair[0] - pair[1]))
    )
    filters = [
        (0.15 if u == v == 0 else 0.6) * mixture[:, None, None] * waves[v][:, None] * waves[u][None]
        for u, v in pairs
        for mixture in mixtures
    ]
    return torch.stack(filters[:count])


@torch.no_grad()
def structured_vision(model):
    width = model.config.vision_width
    model.patch.weight.copy_(_patch_filters(model.config.patch, width))
    model.patch.bias.zero_()
    for block in model.blocks:
        for layer in (block.q, block.k, block.v, block.o, block.up, block.down):
            layer.bias.zero_()
        block.o.weight.normal_(std=0.02)
        block.down.weight.normal_(std=0.02)
    first = model.blocks[0]
    first.up.weight[:width] = 3 * torch.eye(width)
    first.up.weight[width : 2 * width] = -3 * torch.eye(width)
    mix = 0.3 * torch.linalg.qr(torch.randn(width, width))[0]
    first.down.weight[:, :width] = mix
    first.down.weight[:, width : 2 * width] = mix

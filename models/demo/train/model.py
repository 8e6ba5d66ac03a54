"""The network: a llama-style text model and a small vision transformer with a llava-style projector."""

import math

import torch
import torch.nn.functional as F
from torch import nn


class Config:
    """Sizes. `ff` must differ from `width` (both models), or llama.cpp mixes up two tensors of the projector."""

    vocabulary = 2048
    width, blocks, heads, ff = 128, 6, 4, 256
    rope_base, rms_eps = 10_000_000.0, 1e-5
    context = 768
    side, patch = 64, 8
    vision_width, vision_blocks, vision_heads, vision_ff = 96, 4, 3, 288
    vision_eps = 1e-5


def linear(inputs, outputs):
    return nn.Linear(inputs, outputs, bias=False)


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        x = x.float()
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rotate(x, cos, sin):
    """RoPE over neighbouring pairs, as llama.cpp's arch `llama` does it."""
    even, odd = x[..., 0::2].float(), x[..., 1::2].float()
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, ff = config.width, config.ff
        self.heads = config.heads
        self.attn_norm = RMSNorm(width, config.rms_eps)
        self.ffn_norm = RMSNorm(width, config.rms_eps)
        self.q, self.k, self.v, self.o = (linear(width, width) for _ in range(4))
        self.gate, self.up, self.down = linear(width, ff), linear(width, ff), linear(ff, width)

    def forward(self, x, cos, sin, mask):
        rows, length, width = x.shape
        size = width // self.heads
        weights = torch.cat((self.q.weight, self.k.weight, self.v.weight))
        qkv = F.linear(self.attn_norm(x), weights).view(rows, length, 3, self.heads, size).permute(2, 0, 3, 1, 4)
        q = rotate(qkv[0], cos, sin) / math.sqrt(size)
        k = rotate(qkv[1], cos, sin)
        scores = torch.matmul(q, k.transpose(-1, -2)) + mask.to(torch.bfloat16)
        seen = torch.matmul(scores.softmax(-1), qkv[2])
        x = x + self.o(seen.transpose(1, 2).reshape(rows, length, width))
        gate, up = F.linear(self.ffn_norm(x), torch.cat((self.gate.weight, self.up.weight))).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class TextModel(nn.Module):
    def __init__(self, config=Config):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.norm = RMSNorm(config.width, config.rms_eps)
        size = config.width // config.heads
        speeds = config.rope_base ** (-torch.arange(0, size, 2).float() / size)
        angles = torch.arange(config.context).float()[:, None] * speeds[None]
        self.register_buffer("speeds", speeds, False)
        self.register_buffer("cos", angles.cos(), False)
        self.register_buffer("sin", angles.sin(), False)
        self.register_buffer("mask", torch.full((config.context, config.context), -1e4).triu(1), False)

    def forward(self, x, after=None):
        """Embedded tokens to hidden states; `after`, if given, collects the states after each block."""
        length = x.shape[1]
        cos, sin, mask = self.cos[:length], self.sin[:length], self.mask[:length, :length]
        for block in self.blocks:
            x = block(x, cos, sin, mask)
            if after is not None:
                after.append(x)
        return self.norm(x)

    def logits(self, hidden):
        return F.linear(hidden, self.embedding.weight)


class VisionBlock(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, ff = config.vision_width, config.vision_ff
        self.heads = config.vision_heads
        self.ln1, self.ln2 = nn.LayerNorm(width, config.vision_eps), nn.LayerNorm(width, config.vision_eps)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, ff), nn.Linear(ff, width)

    def forward(self, x):
        rows, length, width = x.shape

        def split(values):
            return values.view(rows, length, self.heads, -1).transpose(1, 2)

        y = self.ln1(x)
        q, k, v = split(self.q(y)), split(self.k(y)), split(self.v(y))
        scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(width // self.heads)
        seen = torch.matmul(scores.softmax(-1), v)
        x = x + self.o(seen.transpose(1, 2).reshape(rows, length, width))
        return x + self.down(F.gelu(self.up(self.ln2(x)), approximate="tanh"))


class VisionModel(nn.Module):
    """Pictures (uint8, rows x side x side x 3) to one embedding of the text model's width for every patch."""

    def __init__(self, config=Config):
        super().__init__()
        self.config = config
        self.grid = config.side // config.patch
        self.patch = nn.Conv2d(3, config.vision_width, config.patch, config.patch)
        self.position = nn.Parameter(torch.randn(self.grid**2, config.vision_width) * 0.02)
        self.blocks = nn.ModuleList(VisionBlock(config) for _ in range(config.vision_blocks))
        self.post_norm = nn.LayerNorm(config.vision_width, config.vision_eps)
        self.project1 = nn.Linear(config.vision_width, config.width)
        self.project2 = nn.Linear(config.width, config.width)

    def forward(self, pictures):
        rows, patch, grid = pictures.shape[0], self.config.patch, self.grid
        x = (pictures.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
        x = x.reshape(rows, 3, grid, patch, grid, patch).permute(0, 2, 4, 1, 3, 5).reshape(rows, grid**2, -1)
        x = F.linear(x, self.patch.weight.flatten(1), self.patch.bias) + self.position
        for block in self.blocks:
            x = block(x)
        return self.project2(F.gelu(self.project1(self.post_norm(x)), approximate="tanh"))

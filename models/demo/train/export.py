"""Writes the trained model as two GGUF files, the text model and the vision projector.

    python3 export.py --run DIR --out DIR [--type q8_0]
"""

import argparse
import os

import torch

import gguf
from gguf import BOOL, FLOAT32, INT32, STRING, UINT32
from model import Config
from tokenizer import END, PAD, SPECIAL, USER, Tokenizer

CONTEXT = 4096  # what a server may give it; trained on far less, see the model card
NORMAL, CONTROL = 1, 3
# Our names of a block's tensors to llama.cpp's.
SHARED_NAMES = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "up": "ffn_up", "down": "ffn_down"}
TEXT_NAMES = SHARED_NAMES | {
    "o": "attn_output",
    "gate": "ffn_gate",
    "attn_norm": "attn_norm",
    "ffn_norm": "ffn_norm",
}
VISION_NAMES = SHARED_NAMES | {"o": "attn_out", "ln1": "ln1", "ln2": "ln2"}


def text_names():
    """llama.cpp's names of all tensors to ours, in the order of the file."""
    names = {"token_embd.weight": "embedding.weight", "output_norm.weight": "norm.weight"}
    for block in range(Config.blocks):
        for ours, theirs in TEXT_NAMES.items():
            names[f"blk.{block}.{theirs}.weight"] = f"blocks.{block}.{ours}.weight"
    return names


def vision_names():
    names = {
        "v.patch_embd.weight": "patch.weight",
        "v.patch_embd.bias": "patch.bias",
        "v.position_embd.weight": "position",
    }
    layers = {"post_norm": "v.post_ln", "project1": "mm.0", "project2": "mm.2"}
    for block in range(Config.vision_blocks):
        layers |= {f"blocks.{block}.{ours}": f"v.blk.{block}.{theirs}" for ours, theirs in VISION_NAMES.items()}
    for ours, theirs in layers.items():
        names |= {f"{theirs}.{part}": f"{ours}.{part}" for part in ("weight", "bias")}
    return names


def read_back(directory):
    """The tokenizer and both models' weights under our names, out of the files that were written here."""
    parts = []
    for name, names in (("kamado-demo", text_names()), ("kamado-demo-mmproj", vision_names())):
        metadata, tensors = gguf.read(f"{directory}/{name}.gguf")
        parts.append((metadata, {ours: torch.from_numpy(tensors[theirs]) for theirs, ours in names.items()}))
    (metadata, text), (_, vision) = parts
    merges = [merge.split(" ") for merge in metadata["tokenizer.ggml.merges"]]
    return Tokenizer(metadata["tokenizer.ggml.tokens"], merges), text, vision


def general(name, architecture, kind, description):
    return [
        ("general.architecture", STRING, architecture),
        ("general.name", STRING, name),
        ("general.description", STRING, description),
        ("general.license", STRING, "mit"),
        ("general.file_type", UINT32, gguf.FILE_TYPES[kind]),
    ]


def vocabulary(tokenizer):
    here = os.path.dirname(os.path.abspath(__file__))
    with open(f"{here}/template.jinja", encoding="utf-8") as file:
        template = file.read()
    kinds = [CONTROL if index < len(SPECIAL) else NORMAL for index in range(len(tokenizer.tokens))]
    return [
        ("tokenizer.ggml.model", STRING, "gpt2"),
        ("tokenizer.ggml.pre", STRING, "qwen2"),
        ("tokenizer.ggml.tokens", [STRING], tokenizer.tokens),
        ("tokenizer.ggml.token_type", [INT32], kinds),
        ("tokenizer.ggml.merges", [STRING], [f"{left} {right}" for left, right in tokenizer.merges]),
        ("tokenizer.ggml.bos_token_id", UINT32, USER),
        ("tokenizer.ggml.eos_token_id", UINT32, END),
        ("tokenizer.ggml.padding_token_id", UINT32, PAD),
        ("tokenizer.ggml.add_bos_token", BOOL, False),
        ("tokenizer.ggml.add_eos_token", BOOL, False),
        ("tokenizer.chat_template", STRING, template),
    ]


def text_file(path, weights, tokenizer, kind):
    c = Config
    metadata = general("kamado-demo", "llama", kind, "A toy, trained on synthetic text: see its model card.") + [
        ("llama.context_length", UINT32, CONTEXT),
        ("llama.embedding_length", UINT32, c.width),
        ("llama.block_count", UINT32, c.blocks),
        ("llama.feed_forward_length", UINT32, c.ff),
        ("llama.attention.head_count", UINT32, c.heads),
        ("llama.attention.head_count_kv", UINT32, c.heads),
        ("llama.rope.dimension_count", UINT32, c.width // c.heads),  # must be the head's size
        ("llama.rope.freq_base", FLOAT32, c.rope_base),
        ("llama.attention.layer_norm_rms_epsilon", FLOAT32, c.rms_eps),
        ("llama.vocab_size", UINT32, c.vocabulary),
    ]
    tensors = [
        (theirs, weights[ours], "f32" if weights[ours].ndim == 1 else kind) for theirs, ours in text_names().items()
    ]
    gguf.write(path, metadata + vocabulary(tokenizer), tensors)


def vision_file(path, weights, kind):
    c = Config
    metadata = general("kamado-demo-mmproj", "clip", kind, "The vision part of kamado-demo.") + [
        ("clip.has_vision_encoder", BOOL, True),
        ("clip.has_text_encoder", BOOL, False),
        ("clip.has_llava_projector", BOOL, True),
        ("clip.projector_type", STRING, "mlp"),
        ("clip.use_gelu", BOOL, True),  # the tanh form
        ("clip.vision.image_size", UINT32, c.side),
        ("clip.vision.patch_size", UINT32, c.patch),
        ("clip.vision.embedding_length", UINT32, c.vision_width),
        ("clip.vision.feed_forward_length", UINT32, c.vision_ff),
        ("clip.vision.block_count", UINT32, c.vision_blocks),
        ("clip.vision.projection_dim", UINT32, c.width),
        ("clip.vision.attention.head_count", UINT32, c.vision_heads),
        ("clip.vision.attention.layer_norm_epsilon", FLOAT32, c.vision_eps),
        ("clip.vision.image_mean", [FLOAT32], [0.5] * 3),
        ("clip.vision.image_std", [FLOAT32], [0.5] * 3),
        ("clip.vision.feature_layer", [INT32], [c.vision_blocks]),  # or llama.cpp drops the last block
    ]
    stored = {"v.patch_embd.weight": "f16", "v.position_embd.weight": "f32"}
    tensors = [
        (theirs, weights[ours], stored.get(theirs, "f32" if weights[ours].ndim == 1 else kind))
        for theirs, ours in vision_names().items()
    ]
    gguf.write(path, metadata, tensors)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True, help="where train.py left tokenizer and checkpoint")
    parser.add_argument("--out", required=True)
    parser.add_argument("--type", choices=("f16", "q8_0"), default="q8_0")
    options = parser.parse_args()
    state = torch.load(f"{options.run}/checkpoint.pt", map_location="cpu")
    text, vision = (
        {name: values.float().numpy() for name, values in state[part].items()} for part in ("text", "vision")
    )
    tokenizer = Tokenizer.load(f"{options.run}/tokenizer.json")
    os.makedirs(options.out, exist_ok=True)
    text_file(f"{options.out}/kamado-demo.gguf", text, tokenizer, options.type)
    vision_file(f"{options.out}/kamado-demo-mmproj.gguf", vision, options.type)


if __name__ == "__main__":
    main()

"""Trains the demo model on what data/generate.ts wrote, in one run of fixed steps on two processes.

    python3 train.py --data DIR --out DIR [--steps 3600]
    python3 train.py --data DIR --out DIR --from models/demo --steps 600 --rate 0.3

Text and pictures are learned together. Run it again with the same arguments to go on from the last checkpoint.
With --from the run begins with the weights and the tokenizer of GGUF files that export.py wrote: the text model learns more, with
neither helper losses nor short sessions first, and the vision model stays as it is.
"""

import argparse
import os
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from dataset import learn_tokenizer, read_lines
from export import read_back
from feed import Locks, Texts
from losses import Helpers, lock_losses, text_losses
from model import Config, TextModel, VisionModel
from optimizers import Optimizers, average_gradients
from start import structured_text, structured_vision
from tokenizer import Tokenizer

PICTURES_EVERY = 4  # steps
PROMPTS_UNTIL = 0.06  # of all steps
SAVE_EVERY, SHOW_EVERY = 50, 50


def schedule(done):
    """Warm up, hold, then fall to zero."""
    return min(1, done / 0.015 + 0.02) * min(1, (1 - done) / 0.6)


class Run:
    """All that is trained, and its checkpoint."""

    def __init__(self, directory, begin_with=None):
        self.path = f"{directory}/checkpoint.pt"
        self.text, self.vision, self.helpers = TextModel(), VisionModel(), Helpers(Config)
        if begin_with is None:
            structured_text(self.text)
            structured_vision(self.vision)
        else:
            _, text, vision = read_back(begin_with)
            self.text.load_state_dict(text)
            self.vision.load_state_dict(vision)
        self.text_optimizers = Optimizers(self.text, 0.02, 3e-3, self.helpers.of_text())
        self.vision_optimizers = Optimizers(self.vision, 0.02, 2e-3, self.helpers.of_pictures())
        self.parameters = self.text_optimizers.parameters + self.vision_optimizers.parameters
        self.done = 0
        if os.path.exists(self.path):
            state = torch.load(self.path)
            self.done = state["step"]
            for name, part in self._parts():
                part.load_state_dict(state[name])

    def _parts(self):
        names = ("text", "vision", "helpers", "text_optimizers", "vision_optimizers")
        return [(name, getattr(self, name)) for name in names]

    def save(self):
        state = {"step": self.done, **{name: part.state_dict() for name, part in self._parts()}}
        torch.save(state, f"{self.path}.new")
        os.replace(f"{self.path}.new", self.path)

    def step(self, losses, scale, with_vision):
        for parameter in self.parameters:
            parameter.grad = None
        sum(weight * loss for weight, loss in losses.values()).backward()
        average_gradients(self.parameters if with_vision else self.text_optimizers.parameters)
        self.text_optimizers.step(scale)
        if with_vision:
            self.vision_optimizers.step(scale)
        self.done += 1


class Means:
    """Running means of the losses, for the log."""

    def __init__(self):
        self.began, self.values = time.time(), {}

    def add(self, losses):
        for name, (_, loss) in losses.items():
            self.values[name] = 0.97 * self.values.get(name, loss.item()) + 0.03 * loss.item()

    def show(self, step):
        losses = " ".join(f"{name} {value:.4f}" for name, value in self.values.items())
        print(f"{step} {time.time() - self.began:.0f}s {losses}", flush=True)


def work(rank, options):
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    meeting = f"file://{options.out}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=options.processes)
    run = Run(options.out, options.begin_with)
    is_further = options.begin_with is not None
    helpers = None if is_further else run.helpers
    tokenizer = Tokenizer.load(f"{options.out}/tokenizer.json")
    seed = options.seed + rank + 100 * run.done
    share = slice(rank, None, options.processes)
    texts = Texts(options.data, tokenizer, share, options.tokens, seed)
    locks = Locks(options.data, tokenizer, seed)
    means = Means()
    while run.done < options.steps:
        done = run.done / options.steps
        with_vision = run.done % PICTURES_EVERY == 0
        with torch.autocast("cpu", dtype=torch.bfloat16):
            if with_vision:
                losses = lock_losses(run.text, run.vision, helpers, *locks.take(options.pictures))
            else:
                prompt_weight = 0.2 if done < PROMPTS_UNTIL and not is_further else 0
                is_easy = done < options.easy and not is_further
                losses = text_losses(run.text, helpers, texts.take(is_easy), prompt_weight)
        run.step(losses, options.rate * schedule(done), with_vision and not is_further)
        means.add(losses)
        if rank == 0 and run.done % SHOW_EVERY == 0:
            means.show(run.done)
        if rank == 0 and (run.done % SAVE_EVERY == 0 or run.done == options.steps):
            run.save()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="what data/generate.ts wrote")
    parser.add_argument("--out", required=True, help="tokenizer and checkpoint go here")
    parser.add_argument("--from", dest="begin_with", help="a folder with GGUF files to begin with")
    parser.add_argument("--rate", type=float, default=1.0, help="a factor of all learning rates")
    parser.add_argument("--steps", type=int, default=3600)
    parser.add_argument("--tokens", type=int, default=4000, help="of a batch of text, a process")
    parser.add_argument("--pictures", type=int, default=40, help="of a batch of pictures, a process")
    parser.add_argument("--easy", type=float, default=0.08, help="share of the steps with short sessions only")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    options.out = os.path.abspath(options.out)
    if os.path.exists(f"{options.out}/meeting"):
        os.remove(f"{options.out}/meeting")
    if options.begin_with is not None:
        read_back(options.begin_with)[0].save(f"{options.out}/tokenizer.json")
    elif not os.path.exists(f"{options.out}/tokenizer.json"):
        sessions = read_lines(f"{options.data}/sessions.jsonl")[:12000]
        locks = [line["session"] for line in read_lines(f"{options.data}/lock-sessions.jsonl")[:1000]]
        learn_tokenizer(sessions + locks, Config.vocabulary).save(f"{options.out}/tokenizer.json")
    mp.spawn(work, (options,), options.processes)


if __name__ == "__main__":
    main()

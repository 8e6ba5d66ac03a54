"""Muon for the weight matrices inside the blocks, Adam for the rest, and gradients averaged over the processes."""

import torch
import torch.distributed as dist


class Muon:
    """Momentum whose every step is made orthogonal. Matrices of one shape go together, wide ones transposed."""

    def __init__(self, matrices, momentum=0.95, decay=0.05):
        self.momentum, self.decay = momentum, decay
        self.groups = {}
        for matrix in matrices:
            self.groups.setdefault(tuple(sorted(matrix.shape, reverse=True)), []).append(matrix)
        self.buffers = {shape: torch.zeros(len(group), *shape) for shape, group in self.groups.items()}

    @staticmethod
    def _tall(matrix):
        return matrix if matrix.shape[0] >= matrix.shape[1] else matrix.t()

    @staticmethod
    def _orthogonal(update):
        """Five Newton-Schulz steps towards the nearest orthogonal matrices."""
        x = (update / (update.flatten(1).norm(dim=1)[:, None, None] + 1e-7)).bfloat16()
        for _ in range(5):
            square = x.transpose(1, 2) @ x
            x = 3.4445 * x + x @ (-4.775 * square + 2.0315 * (square @ square))
        return x.float()

    @torch.no_grad()
    def step(self, rate):
        for shape, group in self.groups.items():
            gradient = torch.stack([self._tall(matrix.grad) for matrix in group])
            buffer = self.buffers[shape].lerp_(gradient, 1 - self.momentum)
            update = self._orthogonal(gradient.lerp(buffer, self.momentum)) * (shape[0] / shape[1]) ** 0.5
            for matrix, change in zip(group, update):
                self._tall(matrix).mul_(1 - rate * self.decay).sub_(change, alpha=rate)


def _is_matrix_of_block(name, parameter):
    return parameter.dim() == 2 and name.startswith("blocks")


class Optimizers:
    """Both, for one model and its helpers. Text and vision have a pair each: text alone leaves vision in peace."""

    def __init__(self, module, muon_rate, adam_rate, helpers):
        named = list(module.named_parameters())
        self.parameters = [*module.parameters(), *helpers]
        self.muon = Muon([parameter for name, parameter in named if _is_matrix_of_block(name, parameter)])
        self.rest = [parameter for name, parameter in named if not _is_matrix_of_block(name, parameter)] + helpers
        self.adam = torch.optim.Adam(self.rest, lr=adam_rate, betas=(0.9, 0.98))
        self.muon_rate, self.adam_rate = muon_rate, adam_rate

    def step(self, scale):
        torch.nn.utils.clip_grad_norm_(self.rest, 1.0)
        self.adam.param_groups[0]["lr"] = self.adam_rate * scale
        self.adam.step()
        self.muon.step(self.muon_rate * scale)

    def state_dict(self):
        return {"muon": self.muon.buffers, "adam": self.adam.state_dict()}

    def load_state_dict(self, state):
        self.muon.buffers = state["muon"]
        self.adam.load_state_dict(state["adam"])


def average_gradients(parameters):
    """Every process steps with the mean of all gradients; a part that a batch did not touch counts as zero."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([parameter.grad.flatten() for parameter in parameters])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    place = 0
    for parameter in parameters:
        size = parameter.numel()
        parameter.grad.copy_(flat[place : place + size].view_as(parameter))
        place += size

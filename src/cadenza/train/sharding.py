"""FSDP2: each process keeps a share of every weight, its gradient and its optimiser state.

Accelerate shards on accelerators alone: on processors, ``fsdp=True`` under torchrun runs as plain data parallelism and
says nothing. Here torch's own ``fully_shard`` does it on both, and the trainer is told that the model is placed.
Checkpoints hold whole tensors: a run may go on with another number of processes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cadenza.base.errors import ConfigError

OPTIMISER_FILE, SCHEDULER_FILE = "optimizer.pt", "scheduler.pt"


def shard(model: Any) -> Any:
    """Shard the layers and then the rest over all processes, in place; all start from the weights of the first.

    Raises:
        ConfigError: there is one process only.
    """
    import torch.distributed as dist
    from torch.distributed.fsdp import fully_shard

    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        hint = "Start it with accelerate launch or torchrun, on two processes or more."
        raise ConfigError("a model sharded by FSDP", "one process", where="recipe fsdp", hint=hint)
    for tensor in [*model.parameters(), *model.buffers()]:
        dist.broadcast(tensor.data, src=0)
    for layer in layers(model):
        fully_shard(layer)
    fully_shard(model)
    model._is_distributed_loading_by_transformers = True
    model._is_fsdp_managed_module = True
    return model


def layers(model: Any) -> list[Any]:
    """The decoder's blocks: the longest list of equal modules."""
    lists: list[Any] = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList) and len(module)]
    return list(max(lists, key=lambda one: len(list(one)))) if lists else []


def is_sharded(model: Any) -> bool:
    """Whether any parameter is spread over processes."""
    from torch.distributed.tensor import DTensor

    return any(isinstance(p, DTensor) for p in model.parameters())


def reshard(model: Any) -> None:
    """Put shares back in place of whole weights.

    After a forward pass without a backward pass the outermost module keeps whole ones: an optimiser made then would
    hold tensors that are about to be dropped.
    """
    from torch.distributed.fsdp import FSDPModule

    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def _whole() -> Any:
    from torch.distributed.checkpoint.state_dict import StateDictOptions

    return StateDictOptions(full_state_dict=True, cpu_offload=True)


def weights(model: Any) -> dict[str, torch.Tensor]:
    """Whole weights by name, on the first process; all must call it."""
    from torch.distributed.checkpoint.state_dict import get_model_state_dict

    found: dict[str, Any] = get_model_state_dict(model, options=_whole())
    if getattr(model.config, "tie_word_embeddings", False):
        for name in getattr(model, "_tied_weights_keys", None) or ():
            found.pop(name, None)  # said once, as by an unsharded model
    return found


def load_weights(model: Any, state: dict[str, torch.Tensor]) -> None:
    """Whole weights → shares; every process brings the same."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    # A tied head has no tensor of its own in the file.
    whole: dict[str, Any] = dict(state)
    set_model_state_dict(model, whole, options=StateDictOptions(full_state_dict=True, strict=False))


def save_optimiser(model: Any, optimiser: Any, path: Path, writes: bool) -> None:
    """Whole optimiser state, written by one process; all must call it."""
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

    state = get_optimizer_state_dict(model, optimiser, options=_whole())
    if writes:
        torch.save(state, path)


def load_optimiser(model: Any, optimiser: Any, path: Path) -> None:
    """What :func:`save_optimiser` wrote → shares."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_optimizer_state_dict

    state = torch.load(path, map_location="cpu", weights_only=True)
    set_optimizer_state_dict(model, optimiser, state, options=StateDictOptions(full_state_dict=True))

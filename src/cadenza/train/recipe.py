"""What a training run is made of: every key of a recipe, with its default and its meaning.

A recipe is YAML with these keys; ``--set part.key=value`` overrides one. Values are checked before anything heavy is
imported: this module needs neither torch nor transformers.

Defaults follow the published experiment (QLoRA on Llama-2, Mistral and Llama-3, simplified MIDI) where it swept:
learning rate 2e-4, cosine schedule, 3 % warm-up, 3 epochs, LoRA on all linear layers with r 16 and alpha 16, NF4 with
double quantisation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from cadenza.base.errors import ConfigError, did_you_mean

METHODS = ("full", "lora", "qlora")
OPTIMISERS = ("adamw", "adafactor", "adamw_8bit", "muon")
SCHEDULERS = ("cosine", "linear", "constant", "cosine_with_restarts")
ROPES = ("none", "linear", "dynamic", "yarn")
SHIPPED = "shipped"
PRECISIONS = ("float32", "bfloat16", "auto")
ATTENTIONS = ("sdpa", "flash_attention_2", "eager")
OBJECTIVES = ("sft", "dpo", "grpo", "ppo", "rejection")
LOSSES = ("cross-entropy", "ditto", "unlikelihood")


@dataclass(frozen=True)
class Scratch:
    """The shape of a model that is trained from random weights: Llama's, with sliding windows.

    Args:
        width: of the residual stream.
        n_layers: layers.
        n_heads: attention heads of ``head_width`` each.
        n_kv_heads: key-value heads.
        head_width: width of a head.
        mlp_width: width of the feed-forward layers.
        window_tokens: tokens that a windowed layer sees.
        layer_pattern: "s" a windowed and "f" a full layer, repeated over the layers.
    """

    width: int = 192
    n_layers: int = 6
    n_heads: int = 3
    n_kv_heads: int = 1
    head_width: int = 64
    mlp_width: int = 512
    window_tokens: int = 256
    layer_pattern: str = "ssf"

    def __post_init__(self) -> None:
        sizes = ("width", "n_layers", "n_heads", "n_kv_heads", "head_width", "mlp_width", "window_tokens")
        wrong = [name for name in sizes if getattr(self, name) < 1]
        if wrong:
            raise ConfigError("sizes above 0", f"{wrong[0]} {getattr(self, wrong[0])}", where="recipe scratch")
        if self.n_heads % self.n_kv_heads or self.head_width % 2:
            found = f"{self.n_heads} heads, {self.n_kv_heads} key-value heads of {self.head_width}"
            raise ConfigError("heads that key-value heads divide, of an even width", found, where="recipe scratch")
        if not self.layer_pattern or set(self.layer_pattern) - set("sf"):
            raise ConfigError('a pattern of "s" and "f"', repr(self.layer_pattern), where="recipe scratch")


#: Names of shapes for ``base: scratch:NAME``. Parameters without the vocabulary: 0.1, 2.3, 9.4 million.
SHAPES: dict[str, Scratch] = {
    "tiny": Scratch(
        width=64, n_layers=2, n_heads=2, head_width=32, mlp_width=128, window_tokens=64, layer_pattern="sf"
    ),
    "small": Scratch(),
    "medium": Scratch(width=320, n_layers=9, n_heads=5, mlp_width=864, window_tokens=512),
}


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters (Hu et al. 2021), for the methods ``lora`` and ``qlora``.

    Args:
        rank: of the two factors.
        alpha: the update is scaled by alpha / rank.
        dropout: on the adapter's input.
        targets: names of modules, or ["all-linear"]: all linear layers but the head.
    """

    rank: int = 16
    alpha: int = 16
    dropout: float = 0.0
    targets: list[str] = field(default_factory=lambda: ["all-linear"])

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha < 1 or not 0 <= self.dropout < 1 or not self.targets:
            raise ConfigError("rank and alpha above 0, dropout in [0, 1), targets", repr(self), where="recipe lora")


@dataclass(frozen=True)
class Rope:
    """Longer contexts than the base was trained for, by scaling its rotary positions.

    Args:
        kind: "none", "linear" (positions divided), "dynamic" (NTK, by the length at hand) or "yarn".
        factor: new context / old context.
    """

    kind: str = "none"
    factor: float = 1.0

    def __post_init__(self) -> None:
        _one_of(self.kind, ROPES, "rope.kind")
        if self.factor < 1 or (self.kind == "none") != (self.factor == 1):
            raise ConfigError("a factor above 1 with a kind, 1 with none", repr(self), where="recipe rope")


@dataclass(frozen=True)
class Loss:
    """What is minimised.

    Args:
        name: "cross-entropy"; "ditto" (Xu et al. 2022) replaces it in a share of the steps by a loss on rows that
            repeat one unit of a training text; "unlikelihood" (Welleck et al. 2020) adds a penalty on tokens that
            stand in the context already.
        share: share of the steps that DITTO, or sequence unlikelihood, takes.
        decay: DITTO's λ: probability of a copy over that of the copy before it; 0.5 in the paper.
        from_copy: DITTO: the first copy that is penalised (2 in the paper; 3 spares forms such as AABB).
        excess: DITTO: penalise only probabilities above decay × the one before.
        unit_bars: DITTO: longest unit, in bars; each row draws least_unit_bars … unit_bars.
        least_unit_bars: DITTO: shortest unit, in bars.
        alpha: unlikelihood: weight of the penalty.
    """

    name: str = "cross-entropy"
    share: float = 0.5
    decay: float = 0.5
    from_copy: int = 2
    excess: bool = False
    unit_bars: int = 4
    least_unit_bars: int = 1
    alpha: float = 1.0

    def __post_init__(self) -> None:
        _one_of(self.name, LOSSES, "loss.name")
        if not 0 <= self.share <= 1 or not 0 <= self.decay <= 1 or self.from_copy < 2:
            raise ConfigError("share and decay in 0–1, from_copy from 2", repr(self), where="recipe loss")
        if not 1 <= self.least_unit_bars <= self.unit_bars:
            raise ConfigError("1 ≤ least_unit_bars ≤ unit_bars", repr(self), where="recipe loss")


@dataclass(frozen=True)
class Vary:
    """Documents drawn anew each time they are seen, for notations whose pitches and tempos are tokens of their own.

    Args:
        semitones: least and greatest transposition; drums stay, and no note leaves its instrument's range.
        tempo_factor: least and greatest factor of the tempo.
    """

    semitones: list[int] = field(default_factory=lambda: [0, 0])
    tempo_factor: list[float] = field(default_factory=lambda: [1.0, 1.0])

    def __post_init__(self) -> None:
        for pair, name in ((self.semitones, "semitones"), (self.tempo_factor, "tempo_factor")):
            if len(pair) != 2 or pair[0] > pair[1]:
                raise ConfigError("a least and a greatest value", repr(pair), where=f"recipe vary.{name}")
        if self.tempo_factor[0] <= 0:
            raise ConfigError("factors above 0", repr(self.tempo_factor), where="recipe vary.tempo_factor")

    @property
    def is_on(self) -> bool:
        """Whether anything is drawn."""
        return list(self.semitones) != [0, 0] or [float(one) for one in self.tempo_factor] != [1.0, 1.0]


@dataclass(frozen=True)
class Preference:
    """What the objectives ``dpo`` and ``grpo`` learn from: the model's own takes of the corpus's prompts.

    Args:
        reward: column of a metric → weight (:mod:`cadenza.metrics.reward`); needed for grpo and for ranked pairs.
        targets: column → its best value, for columns of which more is not simply better.
        kind: dpo: "ranked" (the best and the worst of a group of takes) or "human" (the corpus's own completion is
            chosen, a take rejected).
        prompts: dpo: prompts that pairs are made of.
        group: takes of one prompt.
        max_tokens: longest take.
        temperature: of the takes.
        beta: how near the model stays to where it began: DPO's β, or the weight of the KL of GRPO and PPO (0: none).
        answer_reward: of models that listen: the name of a reward (``cadenza.rewards``) of the answer beside the truth.
        updates: of models that listen, grpo and ppo: steps that learn from the same takes.
        clip: grpo and ppo with more than one update: how far a token's ratio counts.
        sft_weight: of models that listen: weight of the plain loss on the true answers, beside the reward's.
        gae_lambda, value_weight: of ppo: decay of the advantages, weight of the value's loss.
    """

    reward: dict[str, float] = field(default_factory=dict)
    targets: dict[str, float] = field(default_factory=dict)
    kind: str = "ranked"
    prompts: int = 200
    group: int = 8
    max_tokens: int = 512
    temperature: float = 1.0
    beta: float = 0.1
    answer_reward: str = "score"
    updates: int = 1
    clip: float = 0.2
    sft_weight: float = 0.0
    gae_lambda: float = 0.95
    value_weight: float = 0.5

    def __post_init__(self) -> None:
        _one_of(self.kind, ("ranked", "human"), "preference.kind")
        if self.updates < 1 or self.clip <= 0 or self.sft_weight < 0 or self.value_weight < 0:
            said = "updates from 1, clip above 0, sft_weight and value_weight from 0"
            raise ConfigError(said, repr(self), where="recipe preference")
        if not 0 <= self.gae_lambda <= 1:
            raise ConfigError("gae_lambda in 0–1", str(self.gae_lambda), where="recipe preference")
        if self.prompts < 1 or self.group < 2 or self.max_tokens < 1:
            said = "prompts and max_tokens from 1, group from 2"
            raise ConfigError(said, repr(self), where="recipe preference")
        if self.temperature <= 0 or self.beta < 0:
            raise ConfigError("a temperature above 0, beta from 0", repr(self), where="recipe preference")


@dataclass(frozen=True)
class Listen:
    """A model that listens (:mod:`cadenza.train.listening`): what it hears with and what it learns from.

    Args:
        clips: folder with ``train`` and ``validation``, each of :mod:`cadenza.corpus.clips`; "" trains on text.
        tower: what hears (``cadenza.encoders``), or "whole": the base is an audio language model itself.
        tower_source: folder or hub id of the tower, where it takes one.
        stack: frames of the tower that make one vector of the language model.
        questions: questions asked about a clip, on average, beside its transcription (0–1).
        transcriptions: how often, on average, a clip's transcription is asked for (0–1).
        pitches: how often its key and pitches alone are asked for (0–1). A model that is to follow what it hears
            learns that sooner from these alone: a recipe with transcriptions 0 and one that goes on from it.
        transposed: copies of each clip that are learned from beside it, transposed by up to 5 semitones in what is
            heard and in what is answered (0–10; towers ``notes`` and ``ear``).
        vocabulary: tokens of the text tokenizer that a model from scratch gets.
    """

    clips: str = ""
    tower: str = "ear"
    tower_source: str = ""
    stack: int = 1
    questions: float = 0.25
    transcriptions: float = 1.0
    pitches: float = 0.0
    transposed: int = 0
    vocabulary: int = 1024

    def __post_init__(self) -> None:
        shares = all(0 <= share <= 1 for share in (self.questions, self.pitches, self.transcriptions))
        if self.stack < 1 or not shares or self.vocabulary < 300:
            said = "stack from 1, shares of questions in 0–1, a vocabulary of at least 300"
            raise ConfigError(said, repr(self), where="recipe listen")
        if not self.transcriptions + self.pitches:
            raise ConfigError("transcriptions or pitches above 0", repr(self), where="recipe listen")
        if not 0 <= self.transposed <= 10:
            raise ConfigError("transposed in 0–10", str(self.transposed), where="recipe listen")

    @property
    def is_on(self) -> bool:
        """Whether the recipe is of a model that listens."""
        return bool(self.clips)


@dataclass(frozen=True)
class TrainConfig:
    """A recipe.

    Args:
        objective: "sft" (learn the examples), "dpo" (learn from pairs of takes), "grpo" (from the takes' rewards); of
            models that listen also "ppo" and "rejection" (learn the best of each clip's takes).
        preference: of all but sft, see :class:`Preference`.
        listen: see :class:`Listen`.
        base: folder or hub id of a causal model, a run in full, "shipped" for the composer that comes with cadenza (or,
            with ``listen.clips``, the listener), or ``scratch:`` and a shape (tiny, small, medium).
        scratch: the shape itself, for ``base: scratch:``.
        adapter_of: folder of an adapter that training goes on with (methods lora and qlora).
        extend_vocabulary: give the notation's fields tokens of their own in a pretrained tokenizer, with embeddings
            that start as the mean of their text pieces' and are trained beside the adapter.
        rebalance: γ of the rebalanced encoding (Fu et al. 2021) for a model from scratch: pairs of tokens of which the
            second follows with a higher probability become one; 0: off; 0.1 in the paper.
        corpus: folder of a built corpus.
        tasks: task → share of the rows that it gets; {} takes the rows as they are.
        loss_on: "completion" (the prompt is given), or "all".
        context_tokens: longest row; longer examples are cut on a bar line.
        packing: fill rows with several examples, which do not see each other.
        weighted: draw examples by the corpus's column ``weight``.
        vary: see :class:`Vary`.
        data_workers: processes that make batches beside the training, and as many that judge the answers of models that
            listen; 0: none.
        method: "full", "lora", or "qlora" (adapters over 4-bit NF4 weights with double quantisation).
        lora: see :class:`Lora`.
        attention: "sdpa", "flash_attention_2" (a GPU with that package) or "eager".
        rope: see :class:`Rope`.
        precision: "float32", "bfloat16" for autocast (pays on GPUs, and on processors with bf16 units), or "auto" for
            bfloat16 where the machine computes in it; a run's saved recipe says which it was.
        loss: see :class:`Loss`.
        optimiser: "adamw", "adafactor", "adamw_8bit", or "muon" (full training only).
        learning_rate: its peak; None: 2e-4 with adapters, 2e-3 from scratch (Muon: 0.02 for matrices), 2e-5 for a
            pretrained model in full.
        scheduler: "cosine", "linear", "constant" or "cosine_with_restarts".
        restarts: cycles of cosine_with_restarts.
        warmup_share: share of the steps in which the learning rate rises.
        weight_decay: of AdamW.
        max_grad_norm: gradients are clipped to this norm.
        epochs: passes over the rows.
        steps: optimiser steps; None: by epochs.
        batch_rows: rows at once on each device.
        accumulate: batches a step; tokens weigh the same whatever batch they are in.
        gradient_checkpointing: compute activations twice instead of keeping them.
        neftune_alpha: noise on the embeddings (Jain et al. 2023); None: none.
        early_stopping: evaluations without improvement after which training ends; 0: never.
        evaluate_every: steps between evaluations; 0: at the end only.
        evaluation_rows: most rows of an evaluation; 0: all.
        checkpoint_every: steps between checkpoints; 0: by checkpoint_minutes only.
        checkpoint_minutes: minutes between checkpoints.
        most_minutes: of training (since this start), after which the run ends as if its steps were done, whatever the
            schedule; 0: no limit.
        keep_checkpoints: how many are kept.
        log_every: steps between lines of progress.
        samples_every: steps between continuations of held-out pieces as music (samples/index.html); 0: none.
        n_samples: how many pieces are continued.
        sample_bars: bars of each continuation.
        report_to: "tensorboard", and on demand "wandb" and "trackio", beside which TensorBoard is always written; []
            writes log.jsonl alone.
        seed: of all that is drawn.
        n_threads: CPU threads; 0: torch's choice.
        fsdp: shard the model over processes (FSDP2) instead of copying it (DDP).
        compile: torch.compile.
    """

    objective: str = "sft"
    preference: Preference = field(default_factory=Preference)
    listen: Listen = field(default_factory=Listen)
    base: str = "scratch:small"
    scratch: Scratch | None = None
    adapter_of: str = ""
    extend_vocabulary: bool = False
    rebalance: float = 0.0
    corpus: str = ""
    tasks: dict[str, float] = field(default_factory=dict)
    loss_on: str = "completion"
    context_tokens: int = 1024
    packing: bool = True
    weighted: bool = True
    vary: Vary = field(default_factory=Vary)
    data_workers: int = 0
    method: str = "full"
    lora: Lora = field(default_factory=Lora)
    attention: str = "sdpa"
    rope: Rope = field(default_factory=Rope)
    precision: str = "float32"
    loss: Loss = field(default_factory=Loss)
    optimiser: str = "adamw"
    learning_rate: float | None = None
    scheduler: str = "cosine"
    restarts: int = 2
    warmup_share: float = 0.03
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    epochs: float = 3.0
    steps: int | None = None
    batch_rows: int = 4
    accumulate: int = 1
    gradient_checkpointing: bool = False
    neftune_alpha: float | None = None
    early_stopping: int = 0
    evaluate_every: int = 100
    evaluation_rows: int = 256
    checkpoint_every: int = 0
    checkpoint_minutes: float = 4.0
    most_minutes: float = 0.0
    keep_checkpoints: int = 2
    log_every: int = 10
    samples_every: int = 0
    n_samples: int = 2
    sample_bars: int = 8
    report_to: list[str] = field(default_factory=lambda: ["tensorboard"])
    seed: int = 0
    n_threads: int = 0
    fsdp: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        for name, known in (
            ("objective", OBJECTIVES),
            ("method", METHODS),
            ("optimiser", OPTIMISERS),
            ("scheduler", SCHEDULERS),
            ("precision", PRECISIONS),
            ("attention", ATTENTIONS),
            ("loss_on", ("completion", "all")),
        ):
            _one_of(getattr(self, name), known, name)
        for one in self.report_to:
            _one_of(one, ("tensorboard", "wandb", "trackio"), "report_to")
        positive = (
            "context_tokens",
            "log_every",
            "batch_rows",
            "accumulate",
            "keep_checkpoints",
            "restarts",
            "n_samples",
        )
        wrong = [name for name in positive if getattr(self, name) < 1]
        if wrong:
            raise ConfigError("1 or more", str(getattr(self, wrong[0])), where=f"recipe {wrong[0]}")
        if self.epochs <= 0 or (self.steps is not None and self.steps < 1):
            raise ConfigError("epochs or steps above 0", f"{self.epochs} epochs, {self.steps} steps", where="recipe")
        if not 0 <= self.warmup_share < 1:
            raise ConfigError("a share in [0, 1)", str(self.warmup_share), where="recipe warmup_share")
        if self.samples_every < 0 or not 1 <= self.sample_bars <= 64:
            found = f"samples_every {self.samples_every}, sample_bars {self.sample_bars}"
            raise ConfigError("samples_every from 0, sample_bars 1 to 64", found, where="recipe")
        if self.samples_every and self.fsdp:
            hint = "No process holds the whole model: sample from its checkpoints afterwards."
            raise ConfigError("samples_every 0 with fsdp", str(self.samples_every), where="recipe", hint=hint)
        if self.data_workers < 0:
            raise ConfigError("0 or more", str(self.data_workers), where="recipe data_workers")
        if self.checkpoint_every < 0 or self.checkpoint_minutes <= 0 or self.most_minutes < 0:
            said = "checkpoint_every and most_minutes from 0, checkpoint_minutes above 0"
            raise ConfigError(said, repr(self), where="recipe")
        if not 0 <= self.rebalance < 1:
            raise ConfigError("a probability in [0, 1)", str(self.rebalance), where="recipe rebalance")
        if any(share <= 0 for share in self.tasks.values()):
            raise ConfigError("shares above 0", repr(self.tasks), where="recipe tasks")
        if self.objective != "sft":
            self._check_preference()
        if self.listen.is_on:
            self._check_listen()
        if self.is_scratch:
            self.shape()
            if self.method != "full" or self.extend_vocabulary or self.adapter_of:
                hint = "Adapters and vocabulary extension are for pretrained models: give base a folder or hub id."
                raise ConfigError("method full for a model from scratch", self.method, where="recipe method", hint=hint)
        elif self.rebalance:
            raise ConfigError("rebalance 0 for a pretrained model", str(self.rebalance), where="recipe rebalance")
        elif self.optimiser == "muon" and self.method != "full":
            raise ConfigError("muon with method full", self.method, where="recipe optimiser")
        if self.adapter_of and self.method == "full":
            raise ConfigError("method lora or qlora with adapter_of", "full", where="recipe method")

    def _check_preference(self) -> None:
        """That dpo and grpo have what they need, and nothing that they would not heed."""
        where, what = f"recipe objective {self.objective}", self.preference
        if self.is_scratch:
            raise ConfigError("a trained model as base", self.base, where=where, hint="Train with objective sft first.")
        if self.listen.is_on:
            if what.updates > 1 and self.accumulate > 1:
                raise ConfigError("accumulate 1 with several updates", str(self.accumulate), where=where)
        elif self.objective in ("ppo", "rejection"):
            raise ConfigError("clips to listen to (listen.clips)", "none", where=where)
        elif not what.reward and (self.objective == "grpo" or what.kind == "ranked"):
            hint = "Give preference.reward, for example {scale_consistency: 1} with targets."
            raise ConfigError("a reward", "none", where=where, hint=hint)
        if self.objective == "dpo" and what.beta == 0:
            raise ConfigError("beta above 0", "0", where=where)
        plain, only_listening = (
            Preference(),
            ("answer_reward", "updates", "clip", "sft_weight", "gae_lambda", "value_weight"),
        )
        if not self.listen.is_on:
            wrong = [name for name in only_listening if getattr(what, name) != getattr(plain, name)]
            if wrong:
                said = "listen.clips with " + ", ".join(only_listening)
                raise ConfigError(said, ", ".join(wrong), where="recipe preference")
        unheeded = {
            "loss": self.loss.name != "cross-entropy", "loss_on: all": self.loss_on == "all", "fsdp": self.fsdp,
            "vary": self.vary.is_on, "neftune_alpha": self.neftune_alpha is not None, "compile": self.compile,
        }  # fmt: skip
        found = [name for name, there in unheeded.items() if there]
        if found:
            raise ConfigError("a recipe without " + ", ".join(unheeded), ", ".join(found), where=where)

    def _check_listen(self) -> None:
        """That a model that listens is asked for nothing that its training would not heed."""
        unheeded = {
            "tasks": bool(self.tasks), "loss": self.loss.name != "cross-entropy", "loss_on: all": self.loss_on == "all",
            "vary": self.vary.is_on, "rebalance": self.rebalance > 0, "extend_vocabulary": self.extend_vocabulary,
            "neftune_alpha": self.neftune_alpha is not None, "early_stopping": self.early_stopping > 0,
            "samples_every": self.samples_every > 0, "fsdp": self.fsdp, "compile": self.compile,
            "rope, from scratch": self.is_scratch and self.rope.kind != "none",
            "preference.reward (it is preference.answer_reward)": bool(self.preference.reward),
            "preference.kind: human": self.preference.kind != "ranked",
        }  # fmt: skip
        found = [name for name, there in unheeded.items() if there]
        if found:
            raise ConfigError("a recipe without " + ", ".join(unheeded), ", ".join(found), where="recipe listen")

    @property
    def is_scratch(self) -> bool:
        """Whether the model starts from random weights."""
        return self.base.startswith("scratch:")

    @property
    def source(self) -> str:
        """Where a pretrained base lies: a folder (of a model, or the model's in a run's) or a hub id."""
        if self.base == SHIPPED:
            return str(files("cadenza").joinpath("models", "composer"))
        inner = Path(self.base) / "model"
        return str(inner) if (inner / "config.json").is_file() else self.base

    def shape(self) -> Scratch:
        """The shape of a model from scratch.

        Raises:
            ConfigError: no such name.
        """
        if self.scratch is not None:
            return self.scratch
        name = self.base.removeprefix("scratch:")
        if name not in SHAPES:
            raise ConfigError(
                f"a shape of {', '.join(SHAPES)}", repr(name), where="recipe base", hint=did_you_mean(name, SHAPES)
            )
        return SHAPES[name]

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate, with its default by method."""
        if self.learning_rate is not None:
            return self.learning_rate
        if self.method != "full":
            return 2e-4
        return 2e-3 if self.is_scratch else 2e-5


def _one_of(value: Any, known: tuple[str, ...], name: str) -> None:
    if value not in known:
        raise ConfigError(
            f"one of {', '.join(known)}", repr(value), where=f"recipe {name}", hint=did_you_mean(str(value), known)
        )

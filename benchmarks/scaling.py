"""Time and memory on many devices, from measured constants: ``python -m benchmarks.scaling`` prints their tables.

They stand in docs/scaling.md. The model counts arithmetic, bytes over links and bytes in memory; what it leaves out is
said there.
"""

from __future__ import annotations

from dataclasses import dataclass

DEVICES = (1, 2, 4, 8, 64)


@dataclass(frozen=True)
class Chip:
    """One GPU: its 16-bit matrix rate, the share of it that whole phases reach, and what a step takes at least.

    Rate, launches of a step and the update of BERT-base's weights were measured on one H200. The share is an
    assumption: public records for encoders of this size reach 45 to 60 %.
    """

    flops: float = 790e12
    share: float = 0.5
    step_launch_seconds: float = 4e-3
    update_seconds: float = 0.73e-3


@dataclass(frozen=True)
class Link:
    """What a rank sends, and at once receives, in bytes a second: four fifths of what the link is sold as."""

    name: str
    bytes_per_second: float


LINKS = (Link("NVLink", 0.8 * 450e9), Link("PCIe 4 × 16", 0.8 * 32e9), Link("25 Gb/s Ethernet", 0.8 * 3.125e9))


@dataclass(frozen=True)
class Bert:
    """BERT-base or MPNet-base on documents of so many tokens."""

    parameters: float = 109.5e6
    in_layers: float = 85.1e6
    layers: int = 12
    width: int = 768
    heads: int = 12
    tokens: float = 125.0

    @property
    def forward_flops(self) -> float:
        """Of one document: two for each weight and token, and the attention's two products."""
        return self.tokens * (2 * self.in_layers + 4 * self.tokens * self.width * self.layers)

    @property
    def activation_bytes(self) -> float:
        """That a document leaves for the backward pass in 16 bits (Korthikanti et al., 2022, eq. 2)."""
        per_layer = self.tokens * self.width * (34 + 5 * self.heads * self.tokens / self.width)
        return self.layers * per_layer


@dataclass(frozen=True)
class Workload:
    """Documents of each phase; the numbers of the product reviews by default."""

    encoded: int = 49_145
    trained: int = 29_487
    epochs: int = 3
    predicted: int = 19_658


def forward_seconds(documents: float, n_devices: int, model: Bert, chip: Chip) -> float:
    """Encoding or predicting: documents are shared out and nothing is sent between devices."""
    return documents / n_devices * model.forward_flops / (chip.flops * chip.share)


@dataclass(frozen=True)
class Step:
    """One optimizer step of a rank, in seconds: what it computes, what it sends, and how long both take."""

    compute: float
    reduce: float
    update: float
    gather: float

    @property
    def total(self) -> float:
        """Gradients are reduced during the backward pass, two thirds of the arithmetic; the rest comes after it."""
        return self.compute + max(0.0, self.reduce - 2 / 3 * self.compute) + self.update + self.gather


def step(documents: float, n_devices: int, link: Link, model: Bert, chip: Chip) -> Step:
    """A step with ``documents`` a rank under ZeRO stage 1, gradients and weights in 16 bits.

    DeepSpeed's stage 1 reduces all gradients to all ranks (2 (n − 1) / n times their bytes by a ring) and gathers the
    updated weights ((n − 1) / n times their bytes).
    """
    arithmetic = 3 * documents * model.forward_flops / (chip.flops * chip.share)
    sent = 2 * model.parameters * (n_devices - 1) / n_devices / link.bytes_per_second
    update = chip.update_seconds * model.parameters / 109.5e6 / n_devices
    return Step(max(arithmetic, chip.step_launch_seconds), 2 * sent, update, sent)


def balanced_batch(n_devices: int, link: Link, model: Bert, chip: Chip) -> float:
    """Documents a rank at which a step's arithmetic takes as long as its traffic."""
    one = step(1, n_devices, link, model, chip)
    return (one.reduce + one.gather) / (3 * model.forward_flops / (chip.flops * chip.share))


def train_seconds(documents: float, n_devices: int, link: Link, work: Workload, model: Bert, chip: Chip) -> float:
    """All epochs with ``documents`` a rank and step."""
    n_steps = work.epochs * work.trained / (documents * n_devices)
    return n_steps * step(documents, n_devices, link, model, chip).total


def memory_bytes(documents: float, n_devices: int, model: Bert, bucket: float = 10e6) -> float:
    """A rank's peak in training: weights and gradients in 16 bits, its share of fp32 weights and both moments, the
    fp32 copy of its share of gradients, buckets, and the activations of its documents."""
    state = model.parameters * (2 + 2 + (12 + 4) / n_devices)
    return state + 2 * 2 * bucket + documents * model.activation_bytes


def tables() -> list[str]:
    """The document's tables, as Markdown: the whole workload, batches, and where traffic and arithmetic balance."""
    model, chip, work = Bert(), Chip(), Workload()
    lines = [
        f"| devices | encode, s | predict, s |{''.join(f' train, {link.name}, s |' for link in LINKS)} memory, GB |"
    ]
    lines.append("|---:|" + "---:|" * (3 + len(LINKS)))
    for n_devices in DEVICES:
        forward = [forward_seconds(one, n_devices, model, chip) for one in (work.encoded, work.predicted)]
        trained = [train_seconds(16, n_devices, link, work, model, chip) for link in LINKS]
        memory = memory_bytes(16, n_devices, model) / 1e9
        cells = [f"{forward[0]:.2f}", f"{forward[1]:.2f}", *(f"{one:.1f}" for one in trained), f"{memory:.1f}"]
        lines.append(f"| {n_devices} | {' | '.join(cells)} |")
    lines += [
        "",
        "| link | documents a GPU | 2 GPUs, s | 8 GPUs, s | 64 GPUs, s | memory on 8, GB |",
        "|---|" + "---:|" * 5,
    ]
    for link in LINKS:
        for documents in (16, 64, 256, 1024):
            seconds = [train_seconds(documents, n, link, work, model, chip) for n in (2, 8, 64)]
            memory = memory_bytes(documents, 8, model) / 1e9
            lines.append(
                f"| {link.name} | {documents} | {' | '.join(f'{one:.1f}' for one in seconds)} | {memory:.1f} |"
            )
    lines += [
        "",
        "| link | traffic of a step, ms | arithmetic of 16 documents, ms | documents a GPU that balance both |",
    ]
    lines.append("|---|" + "---:|" * 3)
    for link in LINKS:
        one = step(16, 8, link, model, chip)
        arithmetic = 3 * 16 * model.forward_flops / (chip.flops * chip.share)
        lines.append(
            f"| {link.name} | {(one.reduce + one.gather) * 1e3:.1f} | {arithmetic * 1e3:.1f} | "
            f"{balanced_batch(8, link, model, chip):.0f} |"
        )
    return "\n".join(lines).split("\n\n")


if __name__ == "__main__":
    print("\n\n".join(tables()))

"""``python -m benchmarks scale``: what the recipes of papers take: parameters, memory, and hours of a GPU.

The operations of a step are counted on tensors without memory, as `zoo train --dry-run` does. Hours are those operations times the number
of steps, over the peak of a device and the share of it that training reaches. The peaks are those of the data sheets for dense products in
bfloat16; the share is an assumption, and small nets reach less.
"""

from dataclasses import dataclass

from zoo_core.recipes import load_recipe
from zoo_core.registry import registry
from zoo_core.specs import RecipeSpec
from zoo_core.training.cost import estimate

__all__ = ["PEAKS", "SHARE", "Cost", "main"]

PEAKS = {"A100": 312e12, "H100": 989e12}
"""Operations a second, dense bfloat16."""
SHARE = 0.3


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a recipe takes.

    >>> Cost(name="x", parameters=1, steps=3600, flops=312_000_000_000, memory=1).hours("A100")
    0.0033333333333333335

    Args:
        name: family and recipe.
        parameters: number of parameters of the model.
        steps: number of training steps.
        flops: operations of a step, forward and backward.
        memory: bytes of weights, optimizer and activations of a batch.
    """

    name: str
    parameters: int
    steps: int
    flops: int
    memory: int

    def hours(self, device: str) -> float:
        """Hours of one device at :data:`SHARE` of its peak."""
        return self.steps * self.flops / (SHARE * PEAKS[device]) / 3600


def costs() -> list[Cost]:
    """The cost of every recipe whose name begins with ``paper``."""
    found = []
    for claims in registry().claims(RecipeSpec).values():
        spec = claims[0].spec
        if isinstance(spec, RecipeSpec) and spec.name.startswith("paper"):
            name = f"{spec.family}/{spec.name}"
            recipe = load_recipe(name)
            cost = estimate(recipe)
            memory = cost.weights + cost.activations
            found.append(Cost(name=name, parameters=cost.published, steps=recipe.fit.steps, flops=cost.flops, memory=memory))
    return sorted(found, key=lambda each: each.name)


def main() -> None:
    print(f"| recipe | parameters | steps | TFLOP a step | memory | {' | '.join(f'hours of one {device}' for device in PEAKS)} |")
    print(f"|---|{'---:|' * (4 + len(PEAKS))}")
    for each in costs():
        hours = " | ".join(f"{each.hours(device):.1f}" for device in PEAKS)
        numbers = f"{each.parameters / 1e6:.1f} M | {each.steps:,} | {each.flops / 1e12:.2f} | {each.memory / 2**30:.1f} GiB"
        print(f"| `{each.name}` | {numbers} | {hours} |")


if __name__ == "__main__":
    main()

"""How parts of a model learn that the optimizer has made a step."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class StepAware(Protocol):
    """A part that changes itself after every step of the optimizer; `AfterStepHook` calls it.

    It is called on all processes after the same steps, so it may exchange tensors with them. A part that does
    nothing before some epoch may say so by `first_epoch`, with the name of its argument in `first_epoch_key`: a
    run that ends before it is warned of.
    """

    def after_step(self, epoch: int) -> None:
        """Change weights or buffers in place.

        Args:
            epoch: Number of the running epoch, from 0.
        """

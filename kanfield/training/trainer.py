"""The training loop: one field, one image, steps until the budget or the goal."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kanfield.config.settings import Settings
from kanfield.errors import RunFailed
from kanfield.fields.field import Field
from kanfield.images import Image
from kanfield.monitors.base import Monitor, Row
from kanfield.monitors.spectrum_log import SpectrumLog
from kanfield.runs.checkpoint import (
    FOCUS,
    Checkpoint,
    environment,
    image_spec,
    load_field,
    load_optimizers,
    optimizer_tensors,
    read_checkpoint,
    write_checkpoint,
)
from kanfield.runs.folder import RunFolder
from kanfield.runs.progress import Progress, is_log_spaced
from kanfield.runs.rendering import evaluate_field, preview
from kanfield.training.distributed import ALONE, Ranks
from kanfield.training.evaluation import Evaluation, evaluate, evaluation_interval, evaluation_pixels
from kanfield.training.optimizers import build_optimizers, set_rate
from kanfield.training.sampling import Batches, PixelSampler
from kanfield.training.schedule import decay_and_polish, phase_at, scale_phases, warm_up_and_decay
from kanfield.training.signals import Signals
from kanfield.training.step import compile_kernels, make_step
from kanfield.training.target import Target

LOG_EVERY = 10  # steps
_RANGE_PIXELS = 512  # of a batch, at which the fraction out of range is measured
RANGE_EVERY = 10  # steps between moves of the hidden grids
SMOOTH_EVERY = 10  # steps that one smoothing of the splines stands for
FOCUS_BELOW = 0.25  # of the pixels wrong: from here on a lossless fit attends to those
FEW_WRONG = 0.01  # of the pixels: from here on a lossless fit is evaluated three times as often
DIVERGED_LOSS = 100.0  # values lie in [-1, 1], so an untrained field's loss is about 1


class Trainer:
    """Trains a field on an image inside a run folder.

    Args:
        field: from coordinates ``(N, 2)`` to values ``(N, c)``, on its device.
        target: the image, on the same device.
        settings: resolved ones.
        folder: where checkpoints go.
        monitors: what log steps are reported to.
        fingerprint: of the image's pixels; a run goes on with the same ones only.
        ranks: the processes that train the field together.

    Attributes:
        progress: where the run stands.
        step: what takes a training step.
        best_weights: the field's state at the best evaluation, or None.
        eval_pixels: indices of the pixels that are evaluated during training, or None for all.
    """

    def __init__(
        self,
        field: Field,
        target: Target,
        settings: Settings,
        folder: RunFolder,
        monitors: Sequence[Monitor] = (),
        fingerprint: str = "",
        ranks: Ranks = ALONE,
    ) -> None:
        self.field, self.target, self.settings, self.folder = field, target, settings, folder
        self.monitors, self.fingerprint, self.ranks = monitors, fingerprint, ranks
        assert settings.batch_size is not None
        self.sampler = PixelSampler(target.seen(), settings.batch_size, settings.seed, target.device)
        self.batches = Batches(self.sampler, target)
        self.phases = settings.phases
        if settings.phases is not None and settings.steps is not None:
            self.phases = scale_phases(settings.phases, settings.steps)
        self.steps = sum(p.steps for p in self.phases) if self.phases else settings.steps
        self.progress = Progress()
        self._renew_optimizers(0)
        self.focus: Tensor | None = None
        self.best_weights: dict[str, Tensor] | None = None
        self.spectrum: SpectrumLog | None = None
        self._agreed = 0.0
        self.eval_pixels = None if settings.lossless else evaluation_pixels(target, self.sampler)
        evaluated = target.count if self.eval_pixels is None else len(self.eval_pixels)
        multiple = 3 * LOG_EVERY if settings.lossless else LOG_EVERY
        self.evaluate_every = evaluation_interval(evaluated, self.sampler.batch_size, multiple)

    @property
    def image(self) -> Image:
        """What is fitted."""
        return self.target.image

    # ---- the loop ------------------------------------------------------------------------------

    def train(self, signals: Signals) -> None:
        """Step until the budget is used or the goal is reached.

        Raises:
            RunFailed: the loss is no longer finite; the best weights are on disk.
            Interrupted: a signal came; the run is saved.
        """
        p, settings = self.progress, self.settings
        if self.field.backend == "triton":
            compile_kernels(self.field, *self.batches.at(p.step))
        clock = time.perf_counter()
        saved_at: float | None = None if p.step == 0 else clock
        self._agreed, fitted = p.seconds, False
        while not self._is_done():
            loss = self._step()
            p.step += 1
            clock = self._count_since(clock)
            stopped = self.ranks.alone and signals.received is not None
            if not self.ranks.alone and p.step % LOG_EVERY == 0:
                self._agreed, stopped = self.ranks.agree(p.seconds, signals)
            if self._is_last_step():
                fitted = self._fit_residual()
            if self.spectrum is not None and self.spectrum.is_due(p.step, self._is_last_step()):
                self._log_spectrum(self.spectrum)
            clock = self._count_since(clock)
            evaluates = self._evaluates()
            if evaluates or p.step % LOG_EVERY == 0:
                self._log(loss, evaluates)
                clock = self._count_since(clock)
            if stopped:
                self.save()
                raise signals.interrupted(p.step, self.folder.path)
            if saved_at is None or clock - saved_at >= settings.checkpoint_seconds:
                self.save()
                saved_at = clock = time.perf_counter()
        # The target was reached, or the time ran out in an evaluation.
        late = not fitted and self._fit_residual()
        self._count_since(clock)
        if late or p.evaluated_at != p.step:  # or between two
            self._evaluate()
        self.save()

    def _count_since(self, clock: float) -> float:
        """Add the time since then to that of training, and return the time."""
        now = time.perf_counter()
        self.progress.seconds += now - clock
        return now

    def _fit_residual(self) -> bool:
        """Fit the part that is not trained to what training leaves; False where there is none."""
        if self.field.has_residual and self.ranks.leads:
            seen = np.arange(self.sampler.count) if self.sampler.pixels is None else self.sampler.pixels
            self.field.fit_residual(*self.target.samples(torch.from_numpy(seen)))
        return self.field.has_residual

    def _is_done(self) -> bool:
        return self._is_last_step() or self.reached_goal()

    def _is_last_step(self) -> bool:
        p, seconds = self.progress, self.settings.seconds
        return (self.steps is not None and p.step >= self.steps) or (
            seconds is not None and self._seconds >= seconds
        )

    @property
    def _seconds(self) -> float:
        """Training time as all processes count it, so that they end together and have the same rates."""
        return self.progress.seconds if self.ranks.alone else self._agreed

    def reached_goal(self) -> bool:
        """Whether ``--target-psnr`` or ``--lossless`` is met, as of the last evaluation."""
        return self.progress.reached_goal

    def _step(self) -> Tensor:
        self._set_rates()
        x, target = self.batches.at(self.progress.step, self.focus)
        if self._ranges_due():
            self.field.fit_ranges(x)
        loss = self.step(x, target)
        if self.settings.smoothness and self.progress.step % SMOOTH_EVERY == 0:
            self.field.smooth_coefficients(self.settings.smoothness * SMOOTH_EVERY * (1 - self._progress()))
        return loss

    def _ranges_due(self) -> bool:
        step = phase_at(self.phases, self.progress.step)[1] if self.phases else self.progress.step
        return step < (self.settings.range_steps or 0) and step % RANGE_EVERY == 0

    def _progress(self) -> float:
        """How much of the budget is used once the step that is on is done, 0 to 1."""
        if self.steps:
            return (self.progress.step + 1) / (self.steps + 1)
        return self._seconds / (self.settings.seconds or 1.0)

    def _set_rates(self) -> None:
        p, settings = self.progress, self.settings
        if self.phases is not None:
            if phase_at(self.phases, p.step)[1] == 0:
                self._renew_optimizers(p.step)
            return
        factor = (decay_and_polish if settings.lossless else warm_up_and_decay)(self._progress())
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                set_rate(group, group["initial_lr"] * factor)

    def _renew_optimizers(self, step: int) -> None:
        """Make fresh optimisers with the learning rates of a step, and the step that uses them."""
        settings = self.settings
        assert settings.lr is not None and settings.adam_lr is not None and settings.optimizer is not None
        rate = phase_at(self.phases, step)[0].lr if self.phases else settings.lr
        adam_rate = rate if self.phases else settings.adam_lr
        self.optimizers = build_optimizers(self.field, settings.optimizer, rate, adam_rate)
        self.step = make_step(self.field, self.optimizers, settings.compile, self.ranks)

    # ---- evaluation ----------------------------------------------------------------------------

    def _evaluates(self) -> bool:
        """Whether this step is evaluated; more are while a lossless fit attends to its last wrong pixels."""
        wrong = self.progress.wrong_pixels
        few = self.settings.lossless and wrong is not None and wrong < FEW_WRONG * self.sampler.count
        every = self.evaluate_every // 3 if few else self.evaluate_every
        return self.progress.step % every == 0 or self._is_last_step()

    def evaluate(self) -> Evaluation:
        """Evaluate the whole image with the weights as they are."""
        return self._evaluated(None, None)

    def _evaluated(self, pixels: NDArray[np.int64] | None, values: NDArray[np.float64] | None) -> Evaluation:
        """See :func:`evaluate`; by one process for all."""
        return self.ranks.first(
            lambda: evaluate(self.field, self.target, pixels, values),
            told=lambda found: replace(found, picture=None),
        )

    def use_best_weights(self) -> None:
        """Put the best weights seen into the field."""
        if self.best_weights is not None:
            self.field.load_state_dict(self.best_weights)

    def _log_spectrum(self, spectrum: SpectrumLog) -> None:
        """Evaluate the spectrum's window, where no evaluation of all pixels can be shared."""
        coords = self.target.coordinates(spectrum.pixels.to(self.target.device))
        values = evaluate_field(self.field, coords).cpu().numpy()
        spectrum.log(self.progress.step, self.progress.seconds, values)

    def _evaluate(self) -> Evaluation:
        p, spectrum = self.progress, self.spectrum
        values = np.empty((self.target.count, self.image.channels)) if spectrum and spectrum.shared else None
        result = self._evaluated(self.eval_pixels, values)
        if math.isnan(result.psnr):
            self._fail(f"training diverged at step {p.step} (the field gives NaN)")
        if spectrum is not None and values is not None:
            spectrum.log(p.step, p.seconds, values)
        p.wrong_pixels = None if result.wrong is None else int(result.wrong.sum())
        if self.settings.lossless and result.wrong is not None:
            few = result.wrong.sum() < FOCUS_BELOW * self.sampler.count
            self.focus = torch.from_numpy(np.flatnonzero(result.wrong)) if few else None
        p.reached_goal = self._is_goal(result)
        if p.reached_goal or p.is_best(result.psnr, self.settings.lossless):
            p.best_psnr, p.best_step, p.fewest_wrong = result.psnr, p.step, p.wrong_pixels
            self.best_weights = {n: t.detach().clone() for n, t in self.field.state_dict().items()}
        p.note(result.psnr)
        if self.monitors and (is_log_spaced(p.evaluated_at, p.step) or self._is_done()):
            picture = result.picture or preview(self.field, self.image)
            for monitor in self.monitors:
                monitor.picture(p.step, picture)
        p.evaluated_at = p.step
        return result

    def _is_goal(self, result: Evaluation) -> bool:
        p, target = self.progress, self.settings.target_psnr
        if self.settings.lossless:
            return p.wrong_pixels == 0
        if target is None or result.psnr < target + p.subset_bias:
            return False
        if self.eval_pixels is None:
            return True
        whole = self.evaluate().psnr  # some pixels have reached it: have all?
        p.subset_bias = max(p.subset_bias, result.psnr - whole)
        return whole >= target

    def _log(self, loss: Tensor, evaluates: bool) -> None:
        p, value = self.progress, loss.item()
        if not math.isfinite(value) or value > DIVERGED_LOSS:
            self._fail(f"training diverged at step {p.step} (loss {value:.3g})")
        result = self._evaluate() if evaluates else None
        out_of_range = float(self.field.fraction_outside(self.batches.at(p.step)[0][:_RANGE_PIXELS]))
        row = Row(
            step=p.step,
            seconds=round(p.seconds, 4),
            loss=value,
            psnr=result.psnr if result else None,
            held_out_psnr=result.held_out_psnr if result else None,
            lr=float(self.optimizers[0].param_groups[0]["lr"]),
            adam_lr=float(self.optimizers[-1].param_groups[0]["lr"]),
            out_of_range=out_of_range,
            pixels_per_second=p.step * self.sampler.batch_size / max(p.seconds, 1e-9),
        )
        for monitor in self.monitors:
            monitor.log(row)

    def _fail(self, what: str) -> None:
        kept = "no weights were good enough to keep"
        if self.best_weights is not None:
            self._save_best()
            p = self.progress
            kept = f"the best weights ({p.best_psnr:.2f} dB at step {p.best_step}) are kept"
        raise RunFailed(f"{what}; {kept} in {self.folder.path}; try a smaller --lr")

    # ---- checkpoints ---------------------------------------------------------------------------

    def save(self) -> None:
        """Write the checkpoint: the best weights first, so that they are never older than the state."""
        if not self.ranks.leads:
            return
        self._save_best()
        tensors = {**self.field.state_dict(), **optimizer_tensors(self.optimizers)}
        if self.focus is not None:
            tensors[FOCUS] = self.focus
        write_checkpoint(self.folder.last, Checkpoint(tensors, {**self._info(), **asdict(self.progress)}))

    def _save_best(self) -> None:
        if self.best_weights is not None and self.ranks.leads:
            info = {**self._info(), "psnr": self.progress.best_psnr, "step": self.progress.best_step}
            write_checkpoint(self.folder.best, Checkpoint(self.best_weights, info))

    def restore(self) -> list[str]:
        """Take up the run where its checkpoint left it.

        Returns:
            What keeps the rest from being bit-identical to an uninterrupted run, in words.

        Raises:
            InputError: a checkpoint is missing or damaged, or the image is another one.
        """
        last = read_checkpoint(self.folder.last, self.fingerprint)
        self.progress = Progress.from_checkpoint(last.info, self.folder.last)
        if self.progress.best_psnr is not None:
            # Killed between the two files, the weights are of an evaluation that this run has yet to
            # repeat; it will find the same ones again.
            best = read_checkpoint(self.folder.best)
            load_field(self.field, best, self.folder.best)  # only to see that they fit
            self.best_weights = best.tensors
        load_field(self.field, last, self.folder.last)
        self._renew_optimizers(max(0, self.progress.step - 1))
        load_optimizers(self.optimizers, last.tensors)
        if FOCUS in last.tensors:
            self.focus = last.tensors[FOCUS]
        here = environment(self.field)
        return [
            f"{key} was {last.info.get(key)}, now {here[key]}"
            for key in here
            if last.info.get(key) != here[key]
        ]

    def _info(self) -> dict[str, Any]:
        return {"image": self.fingerprint, "image_spec": image_spec(self.image), **environment(self.field)}

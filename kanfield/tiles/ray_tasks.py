"""Ray as the engine of a run of tiles: one remote function over the same ledger, wherever Ray finds room.

Ray decides on which host a task runs, counts GPUs and starts a task again whose host was lost. What is done
and who is at work stays in the run folder, which all hosts see: the loss of Ray itself loses nothing.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from typing import Any

from kanfield.errors import InputError, Interrupted, KanfieldError, RunFailed
from kanfield.tiles.ledger import Ledger
from kanfield.tiles.run import TiledRun
from kanfield.tiles.work import work
from kanfield.tiles.workers import CORES

_PATIENCE = 60.0  # seconds that tasks have to save and end
_FOREVER = -1  # retries of a task whose host or process was lost: the ledger counts a tile's deaths


def require_ray() -> None:
    """Refuse what needs Ray where it is not installed.

    Raises:
        InputError: It is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise InputError("--engine ray needs Ray: pip install 'kanfield[ray]', or leave --engine out")


def fit_one_tile(path: str, device: str) -> tuple[int, str] | None:
    """What runs as a task: fit one tile of a run.

    Args:
        path: Of the run folder, as every host sees it.
        device: As ``--device`` names it.

    Returns:
        An exit code and a line for a person, where no task could do better; else None.
    """
    try:
        work(path, device=device, most=1)
    except KanfieldError as error:
        return error.exit_code, str(error)
    except Interrupted:  # saved
        pass
    return None


class RayTasks:
    """A task for every tile that is left; see :class:`kanfield.tiles.supervise.Engine`.

    Joins the cluster that ``RAY_ADDRESS`` names or that runs on this machine; else starts one here.

    Args:
        run: What is fitted.
        ledger: Its tiles.
        device: As ``--device`` names it; of a cluster with GPUs, ``auto`` is one of these for each task.
        workers: Tasks at a time, at most; None for as many as there is room for.

    Raises:
        RunFailed: The cluster cannot be reached.
    """

    def __init__(self, run: TiledRun, ledger: Ledger, device: str, workers: int | None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        self._ray, self._ledger, self._most = ray, ledger, workers
        self._started = not ray.is_initialized()
        if self._started:
            try:
                ray.init(log_to_driver=False, logging_level="ERROR")
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise RunFailed(f"Ray cannot be reached ({' '.join(str(error).split())})") from None
        room = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        needs: dict[str, Any] = {"num_cpus": min(CORES, max(each.get("CPU", 0) for each in room))}
        if device.startswith("cuda") or (device == "auto" and any(each.get("GPU") for each in room)):
            # Ray shows a task the one GPU that it is given. A process serves many tasks: a start takes long.
            needs, device = {"num_cpus": 1, "num_gpus": 1, "max_calls": 1000}, "cuda"
        self._task = ray.remote(max_retries=_FOREVER, **needs)(fit_one_tile)
        self._arguments = str(run.path.resolve()), device
        self._running: list[Any] = []

    def tend(self, done: int, left: int) -> None:
        """Start tasks for tiles that have none, and look at what those that ended say.

        Raises:
            RunFailed: Tasks cannot go on.
            InputError: The picture is gone or another.
        """
        while len(self._running) < min(left, self._most or left):
            self._running.append(self._task.remote(*self._arguments))
        if not self._running:
            return
        ended, self._running = self._ray.wait(self._running, num_returns=len(self._running), timeout=0)
        for task in ended:
            try:
                said = self._ray.get(task)
            except self._ray.exceptions.RayError as error:
                raise RunFailed(f"Ray cannot fit tiles ({' '.join(str(error).split())})") from None
            if said is not None and not self._ledger.settled():
                raise (InputError if said[0] == 2 else RunFailed)(said[1])

    def stop(self) -> None:
        """Interrupt all tasks, which save, and wait for them."""
        with contextlib.suppress(Exception):  # of a cluster that is gone
            for task in self._running:
                self._ray.cancel(task)
            self._ray.wait(self._running, num_returns=len(self._running), timeout=_PATIENCE)
        if self._started:
            self._ray.shutdown()

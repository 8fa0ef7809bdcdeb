"""Ray as the engine of a run of tiles, on Ray's simulated cluster: nodes are processes of this machine."""

from __future__ import annotations

import sys
import threading
import time
from types import SimpleNamespace

import pytest
from conftest import refused
from test_tile_workers import begin, weights

from kanfield.errors import InputError
from kanfield.tiles import entry, ray_tasks
from kanfield.tiles.ledger import Ledger
from kanfield.tiles.ray_tasks import RayTasks
from kanfield.tiles.run import TiledRun
from kanfield.tiles.supervise import supervise
from kanfield.tiles.work import work


def test_without_ray_nothing_is_begun(tmp_path, capsys, monkeypatch):
    import tifffile
    from test_tiles import pixels

    tifffile.imwrite(tmp_path / "a.tif", pixels(), photometric="rgb")
    monkeypatch.setattr(ray_tasks.importlib.util, "find_spec", lambda name: None)
    words = "fit", tmp_path / "a.tif", "--tiles", "32", "--engine", "ray", "--out", tmp_path / "runs"
    assert "--engine ray needs Ray: pip install 'kanfield[ray]', or leave" in refused(capsys, *words)
    assert not (tmp_path / "runs").exists()


class InThisProcess:
    """Stands for Ray: tasks run at once and here, which is enough to see what they are asked to do."""

    class exceptions:
        RayError = ConnectionError

    def __init__(self, **resources: float) -> None:
        self.resources, self.options, self.tasks = resources, {}, 0

    def is_initialized(self) -> bool:
        return True

    def nodes(self) -> list[dict[str, object]]:
        gone = {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}
        return [gone, {"Alive": True, "Resources": self.resources}, {"Alive": True, "Resources": {}}]

    def remote(self, **options: object):
        self.options = options

        def with_function(function):
            def start(*arguments: str):
                self.tasks += 1
                return function(*arguments)

            return SimpleNamespace(remote=start)

        return with_function

    def wait(self, tasks: list[object], num_returns: int, timeout: float):
        return tasks, []

    def get(self, task: object) -> object:
        return task


def test_every_task_fits_one_tile_and_asks_for_what_the_cluster_has(tmp_path, monkeypatch):
    run = begin(tmp_path, monkeypatch)
    ray = InThisProcess(CPU=1.0)
    monkeypatch.setitem(sys.modules, "ray", ray)
    done = []

    def start(run: TiledRun, ledger: Ledger) -> RayTasks:
        tasks = RayTasks(run, ledger, "auto", 4)
        tend = tasks.tend
        monkeypatch.setattr(tasks, "tend", lambda *given: done.append(given) or tend(*given))
        return tasks

    supervise(run, start, None)
    assert ray.options == {"max_retries": -1, "num_cpus": 1.0}
    assert done == [(0, 9), (4, 5), (8, 1)] and ray.tasks == 9
    (tmp_path / "alone").mkdir()
    alone = begin(tmp_path / "alone", monkeypatch)
    work(alone.path)
    assert weights(run.path) == weights(alone.path)


def test_gpus_are_counted_by_ray(tmp_path, monkeypatch):
    run = begin(tmp_path, monkeypatch)
    ray = InThisProcess(CPU=16.0, GPU=2.0)
    monkeypatch.setitem(sys.modules, "ray", ray)
    tasks = RayTasks(run, Ledger(run.folder, run.split.order), "auto", 1)
    assert ray.options["num_gpus"] == 1 and tasks._arguments == (str(run.path.resolve()), "cuda")
    with pytest.raises(InputError, match="--device cuda cannot be used"):  # here, where none is
        tasks.tend(0, 9)
    assert not list(run.folder.claims.iterdir())


@pytest.mark.slow
@pytest.mark.needs("Ray")
def test_a_run_survives_the_loss_of_a_node_and_is_that_of_one_worker(tmp_path, monkeypatch):
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", ":".join(path for path in sys.path if path))
    run = begin(tmp_path, monkeypatch, steps=300, checkpoint_seconds=0.2)
    content = run.folder.split.read_text()
    run.folder.split.write_text(content.replace('"lease_seconds": 60.0', '"lease_seconds": 5.0'))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        lost, _ = cluster.add_node(num_cpus=2), cluster.add_node(num_cpus=2)
        cluster.wait_for_nodes()
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        removed = []

        def remove() -> None:
            until = time.monotonic() + 1500
            while len(run.folder.done()) < 2 and time.monotonic() < until:
                time.sleep(0.05)
            cluster.remove_node(lost, allow_graceful=False)
            removed.append(len(run.folder.done()))

        thread = threading.Thread(target=remove)
        thread.start()
        monkeypatch.setattr("kanfield.metrics.lpips", lambda a, b: (None, "not asked for"))
        finished = entry.resume(run.path, engine="ray")
        thread.join()
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert removed and removed[0] < 9
    assert finished.metrics["tiles"] == 9 and not list(run.folder.claims.iterdir())
    (tmp_path / "alone").mkdir()
    alone = begin(tmp_path / "alone", monkeypatch, steps=300)
    assert work(alone.path) == 9
    assert weights(run.path) == weights(alone.path)

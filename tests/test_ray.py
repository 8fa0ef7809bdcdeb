"""Ray as the engine of a run of tiles, on Ray's simulated cluster: nodes are processes of this machine."""

from __future__ import annotations

import sys
import threading
import time

import pytest
from conftest import refused
from test_tile_workers import begin, weights

from kanfield.tiles import entry, ray_tasks
from kanfield.tiles.work import work


def test_without_ray_nothing_is_begun(tmp_path, capsys, monkeypatch):
    import tifffile
    from test_tiles import pixels

    tifffile.imwrite(tmp_path / "a.tif", pixels(), photometric="rgb")
    monkeypatch.setattr(ray_tasks.importlib.util, "find_spec", lambda name: None)
    words = "fit", tmp_path / "a.tif", "--tiles", "32", "--engine", "ray", "--out", tmp_path / "runs"
    assert "--engine ray needs Ray: pip install 'kanfield[ray]', or leave" in refused(capsys, *words)
    assert not (tmp_path / "runs").exists()


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

"""Devices, precision and threads."""

import pytest
import torch

from nextclick.errors import ConfigError
from nextclick.models.ops.torch_threads import use_torch_threads
from nextclick.training import device
from nextclick.training.device import (
    check_precision,
    choose_device,
    choose_precision,
    matmul_precision,
    seeded,
    thread_count,
)


@pytest.mark.parametrize(
    ("name", "has_cuda", "expected"),
    [
        ("auto", False, "cpu"), ("auto", True, "cuda"),
        ("cpu", True, "cpu"), ("cuda", True, "cuda"),
    ],
)  # fmt: skip
def test_devices(monkeypatch, name, has_cuda, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    assert choose_device(name).type == expected


def test_unavailable_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="device cuda: PyTorch sees no CUDA device; use cpu"):
        choose_device("cuda")
    with pytest.raises(ConfigError, match="device must be auto, cpu or cuda, got 'gpu'"):
        choose_device("gpu")


def test_bf16_needs_a_device_with_bf16_arithmetic(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(device, "has_bf16", lambda device: False)
    check_precision("float32", cpu)
    with pytest.raises(
        ConfigError, match="precision bf16: this cpu has no bf16 arithmetic, and emulating it"
    ):
        check_precision("bf16", cpu)
    monkeypatch.setattr(device, "has_bf16", lambda device: True)
    check_precision("bf16", cpu)


def test_threads_are_limited_by_the_processors(monkeypatch):
    monkeypatch.setattr(device, "cpus", lambda: 4)
    monkeypatch.setattr(device, "_container_cpus", lambda quota: 3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert thread_count(0, 10**12) == 3
    assert thread_count(2, 10**12) == 2
    assert thread_count(2, 1) == 2
    assert [thread_count(0, n << 24) for n in (0, 1, 2, 3, 9)] == [1, 1, 2, 3, 3]
    with pytest.raises(
        ConfigError, match=r"threads must be in 0\.\.3, the number of available processors; got 4"
    ):
        thread_count(4, 10**12)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)  # OMP_NUM_THREADS=2
    assert thread_count(0, 10**12) == 2


@pytest.mark.parametrize(
    ("text", "n_cpus"), [("150000 100000\n", 2), ("50000 100000", 1), ("max 100000", 1 << 16)]
)
def test_quota_of_a_container(tmp_path, text, n_cpus):
    quota = tmp_path / "cpu.max"
    quota.write_text(text)
    assert device._container_cpus(quota) == n_cpus
    assert device._container_cpus(tmp_path / "nothing") == 1 << 16


def test_threads_are_restored():
    torch.set_num_threads(1)

    def work():
        with use_torch_threads(2):
            assert torch.get_num_threads() == 2
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        work()
    assert torch.get_num_threads() == 1


def test_a_seed_applies_inside_the_block_only():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with seeded(1):
        first = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    with seeded(1):
        assert torch.equal(torch.rand(3), first)


def test_auto_precision_rounds_products_on_a_cpu_with_amx(monkeypatch):
    for has_amx, expected in ((True, "bf16-products"), (False, "float32")):
        monkeypatch.setattr(device, "has_amx", lambda value=has_amx: value)
        assert choose_precision("auto", torch.device("cpu")) == expected
    assert choose_precision("auto", torch.device("cuda")) == "float32"
    assert choose_precision("float32", torch.device("cpu")) == "float32"


def test_matmul_precision_is_restored():
    before = torch.get_float32_matmul_precision()
    with matmul_precision("bf16-products"):
        assert torch.get_float32_matmul_precision() == "medium"
    assert torch.get_float32_matmul_precision() == before
    with matmul_precision("float32"):
        assert torch.get_float32_matmul_precision() == before

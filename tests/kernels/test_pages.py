"""Memory on large pages: where it starts, how long it stays, and systems that have none."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

from daskals.kernels.toolkit.pages import LARGE_BYTES, PAGE_BYTES, empty_bytes

HAS_THEM = hasattr(mmap, "MADV_HUGEPAGE")


@pytest.mark.skipif(not HAS_THEM, reason="the system has one size of pages")
def test_large_memory_starts_on_a_large_page_and_stays_as_long_as_a_view():
    memory = empty_bytes(LARGE_BYTES + 5)
    assert memory.shape == (LARGE_BYTES + 5,)
    assert memory.ctypes.data % PAGE_BYTES == 0
    memory[:] = 7
    view = memory[-3:]
    del memory
    empty_bytes(LARGE_BYTES + 5)[:] = 1
    np.testing.assert_array_equal(view, 7)


@pytest.mark.skipif(not HAS_THEM, reason="the system has one size of pages")
def test_a_system_that_refuses_large_pages_has_memory_too(monkeypatch):
    monkeypatch.setattr(mmap, "MADV_HUGEPAGE", 9999)
    assert not np.any(empty_bytes(LARGE_BYTES))


def test_a_system_without_large_pages_has_memory_too(monkeypatch):
    monkeypatch.delattr(mmap, "MADV_HUGEPAGE", raising=False)
    assert empty_bytes(LARGE_BYTES).shape == (LARGE_BYTES,)
    assert empty_bytes(3).shape == (3,)

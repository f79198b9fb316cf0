"""One thread for a while, and then as many as before."""

from __future__ import annotations

import pytest
import torch

from services.common.threads import one_thread


def test_threads_are_as_many_as_before_whatever_happens():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with pytest.raises(ValueError, match="anything"), one_thread():
            raise ValueError("anything")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)

"""What kanfield uses of torch's private interface. Checked with torch 2.14.

Nothing public tells whether a transform is active, and an operator of ``torch.library`` has no rule for
``vmap`` or forward mode. ``tests/test_splines.py`` fails if these names go or change their meaning.
"""

from __future__ import annotations

import torch


def transforms_active() -> bool:
    """Whether a ``torch.func`` transform or forward-mode AD is active.

    >>> transforms_active()
    False
    """
    forward_mode = torch.autograd.forward_ad._current_level >= 0
    return bool(forward_mode) or bool(torch._C._are_functorch_transforms_active())

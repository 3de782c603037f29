"""What Hypothesis does with a law: no phase that depends on what it has seen before."""

from __future__ import annotations

from hypothesis import Phase

PHASES = (Phase.explicit, Phase.generate, Phase.shrink)

"""A pytest plugin: hypothesis stops at the first example that fails instead of looking for the smallest."""

from hypothesis import Phase, settings

settings.register_profile("unshrunk", phases=(Phase.explicit, Phase.generate))
settings.load_profile("unshrunk")

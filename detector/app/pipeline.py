"""Builds the pipeline of a configuration."""

from __future__ import annotations

from pathlib import Path

from detector.alerts import Lifecycle, Mutes
from detector.config import Config
from detector.models.forecaster import Forecaster
from detector.models.weights import Weights, load
from detector.pipeline import Pipeline
from detector.pipeline.groups import Groups, GroupSettings
from detector.scoring import GroupScorer, Scorer, ScorerSettings


def build_pipeline(config: Config, weights: Weights | None = None) -> Pipeline:
    """The pure core for a configuration, with these weights or the configured ones. Raises ModelError."""
    forecaster = build_forecaster(config, weights or configured_weights(config))
    alerts = config.alerts
    scorer = Scorer(ScorerSettings(**config.scoring.model_dump()), compact=config.model.profile == "compact")
    lifecycle = Lifecycle(
        anomalous=alerts.trigger.anomalous,
        of=alerts.trigger.of,
        recovery_normal=alerts.recovery.normal,
        recovery_below=alerts.recovery.below,
        max_firing_seconds=alerts.max_firing_seconds,
        cooldown_seconds=alerts.cooldown_seconds,
        usual_change=scorer.usual_change,
    )
    return Pipeline(
        forecaster,
        scorer,
        lifecycle,
        max_streams=config.streams.max_streams_per_partition,
        evict_idle_seconds=config.streams.evict_idle_seconds,
        idle_expiry_seconds=config.streams.idle_expiry_seconds,
        max_future_seconds=config.streams.max_future_seconds,
        critical_score=alerts.critical_score,
        model=forecaster.name,
        freeze_seconds=config.model.readout.freeze_seconds,
        raw_counters=config.streams.counters == "raw",
        groups=_groups(config, lifecycle),
        mutes=Mutes(alerts),
    )


def configured_weights(config: Config) -> Weights:
    """The configured weights, or those that ship with the package. Raises ModelError."""
    return load(Path(config.model.weights) if config.model.weights else None)


def build_forecaster(config: Config, weights: Weights) -> Forecaster:
    """The configured forecaster, with these weights."""
    model = config.model
    compact = model.profile == "compact"
    return Forecaster(
        weights, device=model.device, threads=model.threads, readout=model.readout.enabled, compact=compact
    )


def _groups(config: Config, lifecycle: Lifecycle) -> Groups | None:
    asked = config.groups
    if not asked.by:
        return None
    settings = GroupSettings(tuple(asked.by), asked.tick_seconds, asked.alert_members)
    compact = config.model.profile == "compact"
    scorer = GroupScorer(asked.alerts_per_group_week, config.scoring.warmup_samples, compact=compact)
    return Groups(settings, scorer, lifecycle)

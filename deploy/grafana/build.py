"""Writes detector.json beside this file: the dashboard is made here, and a test sees to it that both agree.

    python deploy/grafana/build.py

Queries use the metrics of docs/metrics.md and no recording rule, so that the dashboard works without rules.yaml.
"""

import json
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizLegendOptions, VizTooltipOptions
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, SortOrder, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    DynamicConfigValue,
    GridPos,
    VariableOption,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

TARGET = Path(__file__).with_name("detector.json")
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
RATE = "$__rate_interval"
WIDTH = 24


@dataclass(frozen=True)
class Query:
    """PromQL in which `{}` stands for the selector of the chosen workers, and the name of its curves."""

    expr: str
    legend: str = "{{instance}}"

    @property
    def promql(self) -> str:
        return self.expr.replace("{}", '{job=~"$job", instance=~"$instance"}').replace(
            "{,", '{job=~"$job", instance=~"$instance", '
        )


@dataclass(frozen=True)
class Panel:
    """One picture; `kind` is stat, timeseries, heatmap or band. A timeseries begins at 0 unless `signed`."""

    title: str
    help: str
    unit: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    width: int = 8
    signed: bool = False


def panel(kind: str, title: str, unit: str, help: str, *queries: Query, width: int = 8, signed: bool = False) -> Panel:
    return Panel(title, help, unit, queries, kind, width, signed)


def buckets(metric: str) -> Query:
    return Query(f"sum by (le) (increase({metric}_bucket{{}}[{RATE}]))", "{{le}}")


def quantiles(metric: str) -> tuple[Query, ...]:
    return tuple(
        Query(f"histogram_quantile({share}, sum by (le) (rate({metric}_bucket{{}}[{RATE}])))", name)
        for share, name in ((0.5, "median"), (0.99, "99th percentile"))
    )


OVERVIEW = [
    panel("stat", "Ready workers", "none", "Workers that process records.", Query("sum(detector_ready{})"), width=3),
    panel(
        "stat",
        "Active streams",
        "short",
        "Streams heard from within five of their usual intervals.",
        Query("sum(detector_streams_active{})"),
        width=3,
    ),
    panel(
        "stat",
        "Open alerts",
        "none",
        "Firing alerts of streams and groups.",
        Query("sum(detector_alerts_firing{})"),
        width=3,
    ),
    panel(
        "stat",
        "Scored",
        "cps",
        "Samples that got a verdict.",
        Query(f'sum(rate(detector_samples_total{{,outcome="scored"}}[{RATE}]))'),
        width=3,
    ),
    panel(
        "stat",
        "Behind",
        "s",
        "Age of the newest event of the partition that is furthest behind, while it has more to read.",
        Query("max(time() - (detector_event_timestamp_seconds{} and detector_lag_records{} > 0)) or vector(0)"),
        width=4,
    ),
    panel(
        "stat",
        "Busy",
        "percentunit",
        "Share of the loop's time that is work, of the busiest worker.",
        Query(
            f'max(1 - rate(detector_stage_seconds_total{{,stage="poll"}}[{RATE}])'
            f" / ignoring (stage) sum without (stage) (rate(detector_stage_seconds_total{{}}[{RATE}])))"
        ),
        width=4,
    ),
    panel(
        "stat",
        "Since last checkpoint",
        "s",
        "How much a crash would repeat; the worst worker.",
        Query("max(time() - detector_checkpoint_timestamp_seconds{})"),
        width=4,
    ),
]

DETECTIONS = [
    panel(
        "timeseries",
        "Alerts started",
        "short",
        "Alerts that started firing, by severity.",
        Query(f'sum by (severity) (increase(detector_alerts_total{{,status="firing"}}[{RATE}]))', "{{severity}}"),
    ),
    panel(
        "timeseries",
        "Open alerts",
        "none",
        "Streams and groups whose alert is firing, muted or not; pending ones need more anomalous samples.",
        Query("sum(detector_alerts_firing{})", "firing"),
        Query("sum(detector_alerts_pending{})", "pending"),
    ),
    panel(
        "timeseries",
        "Alerts per stream and week",
        "none",
        "Actual alerts of streams since each worker's start, and the budget (scoring.alerts_per_stream_week).",
        Query("detector_alert_rate_per_stream_week{}", "actual {{instance}}"),
        Query("max(detector_alert_budget_per_stream_week{})", "budget"),
    ),
    panel("heatmap", "Scores", "none", "anomaly_score; above 1 is anomalous.", buckets("detector_anomaly_score")),
    panel(
        "timeseries",
        "Anomalous samples",
        "percentunit",
        "Share of the scored samples with a score above 1.",
        Query(
            f"sum(rate(detector_samples_anomalous_total{{}}[{RATE}]))"
            f' / sum(rate(detector_samples_total{{,outcome="scored"}}[{RATE}]))',
            "anomalous",
        ),
    ),
    panel(
        "timeseries",
        "From sample to delivered alert",
        "s",
        "Event time to the sinks' acknowledgement, which waits for a checkpoint.",
        *quantiles("detector_alert_delay_seconds"),
    ),
]

INPUT = [
    panel(
        "timeseries",
        "Samples by outcome",
        "cps",
        "Every sample ends as one of these.",
        Query(f"sum by (outcome) (rate(detector_samples_total{{}}[{RATE}]))", "{{outcome}}"),
    ),
    panel(
        "timeseries",
        "Discarded and rejected",
        "cps",
        "Samples without a usable value or time, or beyond the limit of streams; records that cannot be decoded.",
        Query(f"sum by (reason) (rate(detector_samples_discarded_total{{}}[{RATE}]))", "{{reason}}"),
        Query(f"sum by (reason) (rate(detector_records_rejected_total{{}}[{RATE}]))", "rejected: {{reason}}"),
    ),
    panel(
        "timeseries",
        "Sample delay",
        "s",
        "Time from a sample's timestamp to its verdict.",
        *quantiles("detector_sample_delay_seconds"),
    ),
    panel(
        "timeseries",
        "Lag",
        "short",
        "Records between the position and the partition's end.",
        Query("sum by (topic, partition) (detector_lag_records{})", "{{topic}}/{{partition}}"),
    ),
    panel(
        "timeseries",
        "Records",
        "cps",
        "Records read.",
        Query(f"rate(detector_records_consumed_total{{}}[{RATE}])"),
    ),
    panel(
        "timeseries",
        "Bytes",
        "Bps",
        "Bytes of the records' values.",
        Query(f"rate(detector_consumed_bytes_total{{}}[{RATE}])"),
    ),
]

WORKER = [
    panel(
        "timeseries",
        "Time by stage",
        "percentunit",
        "Where the loop's time goes; poll is mostly waiting.",
        Query(
            f"sum by (stage) (rate(detector_stage_seconds_total{{}}[{RATE}]))"
            f" / ignoring (stage) group_left sum(rate(detector_stage_seconds_total{{}}[{RATE}]))",
            "{{stage}}",
        ),
    ),
    panel(
        "timeseries",
        "Checkpoints",
        "s",
        "Duration of checkpoints.",
        *quantiles("detector_checkpoint_duration_seconds"),
    ),
    panel(
        "timeseries",
        "Failures",
        "short",
        "Failed calls of source, checkpoints and sinks.",
        Query(f"sum by (reason) (increase(detector_source_errors_total{{}}[{RATE}]))", "source: {{reason}}"),
        Query(f"sum(increase(detector_checkpoint_failures_total{{}}[{RATE}]))", "checkpoint"),
        Query(f"sum by (sink) (increase(detector_sink_failures_total{{}}[{RATE}]))", "sink: {{sink}}"),
    ),
    panel("timeseries", "Partitions", "none", "Owned by each worker.", Query("detector_partitions_assigned{}")),
    panel(
        "timeseries",
        "CPU",
        "percentunit",
        "Cores in use.",
        Query(f"rate(process_cpu_seconds_total{{}}[{RATE}])"),
    ),
    panel(
        "timeseries",
        "Memory",
        "bytes",
        "Resident memory, and the part that is state of streams.",
        Query("process_resident_memory_bytes{}", "resident {{instance}}"),
        Query("detector_stream_state_bytes{}", "state {{instance}}"),
    ),
]

MODEL = [
    panel(
        "timeseries",
        "Streams",
        "short",
        "All, those that still have samples, those warming up, and those for which a naive forecast is better.",
        Query("sum(detector_streams{})", "streams"),
        Query("sum(detector_streams_active{})", "active"),
        Query("sum(detector_streams_warmup{})", "warming up"),
        Query("sum(detector_streams_fallback{})", "naive forecast"),
    ),
    panel(
        "timeseries",
        "Skill",
        "none",
        "Forecast error over the last-value forecast's; below 1 the model helps.",
        *(
            Query(f"histogram_quantile({share}, sum by (le) (detector_stream_skill_bucket{{}}))", name)
            for share, name in ((0.1, "best tenth"), (0.5, "median"), (0.9, "worst tenth"))
        ),
    ),
    panel(
        "timeseries",
        "Builds and weights",
        "none",
        "Workers by program version and weights; two curves at once are a rollout.",
        Query("sum by (version) (detector_build_info{})", "version {{version}}"),
        Query("sum by (name) (detector_model_info{})", "weights {{name}}"),
    ),
]

DELIVERY = [
    panel(
        "timeseries",
        "Messages",
        "cps",
        "Alerts and dead letters handed to each sink.",
        Query(f"sum by (sink) (rate(detector_sink_messages_total{{}}[{RATE}]))", "{{sink}}"),
    ),
    panel(
        "timeseries",
        "Waiting alerts",
        "none",
        "Alerts whose last change Alertmanager has not accepted yet; empty without sinks.alertmanager.",
        Query("sum by (sink) (detector_sink_alerts_waiting{})", "{{sink}}"),
    ),
    panel(
        "timeseries",
        "Muted alerts",
        "short",
        "Alerts that started within an interval of alerts.mute; empty if there were none.",
        Query(f"sum by (interval) (increase(detector_alerts_muted_total{{}}[{RATE}]))", "{{interval}}"),
    ),
]

STATE = [
    panel(
        "timeseries",
        "State written",
        "Bps",
        "Bytes of the blocks of streams that changed.",
        Query(f"rate(detector_state_written_bytes_total{{}}[{RATE}])"),
    ),
    panel(
        "timeseries",
        "Places in use",
        "percentunit",
        "Share of streams.max_streams_per_partition in the fullest partition; at 1, new streams are discarded or"
        " replace silent ones.",
        Query("detector_streams_fullest_partition_ratio{}"),
    ),
    panel(
        "timeseries",
        "Streams dropped",
        "short",
        "After a long silence, or sooner because their partition was full.",
        Query(f"sum(increase(detector_streams_expired_total{{}}[{RATE}]))", "silent"),
        Query(f"sum(increase(detector_streams_evicted_total{{}}[{RATE}]))", "no place left"),
    ),
    panel(
        "timeseries",
        "Partition changes",
        "short",
        "Assigned, revoked in order, or lost to another worker.",
        Query(f"sum by (change) (increase(detector_partition_changes_total{{}}[{RATE}]))", "{{change}}"),
    ),
    panel(
        "timeseries",
        "Restore",
        "s",
        "Duration of the last restore of a partition.",
        Query("detector_state_restore_seconds{}"),
    ),
    panel(
        "timeseries",
        "Configuration",
        "none",
        "0 if the last reload failed and the previous configuration is in use.",
        Query("detector_config_last_reload_successful{}"),
    ),
]

LEARNING = [
    panel(
        "timeseries",
        "Rounds of learning",
        "short",
        "Results of candidates for the shared network; zero if learning.mode is off.",
        Query(f"sum by (result) (increase(detector_learning_rounds_total{{}}[{RATE}]))", "{{result}}"),
    ),
    panel(
        "timeseries",
        "Loss",
        "none",
        "Loss of the running weights and of the candidate, on the newest samples in the last round; zero before it.",
        Query("detector_learning_loss{}", "{{weights}} {{instance}}"),
        signed=True,
    ),
    panel(
        "timeseries",
        "CPU of learning",
        "percentunit",
        "Cores in use by the learning process, counted when a round ends.",
        Query(f"rate(detector_learning_cpu_seconds_total{{}}[{RATE}])"),
    ),
]

# A stream's name holds quotes, which Grafana escapes only where it is asked to.
STREAM = "{,stream=${stream:doublequote}}"
STREAMS = [
    panel(
        "band",
        "Value of $stream",
        "none",
        "Value and expected band of the stream chosen above; telemetry.streams says which streams can be chosen.",
        Query(f"detector_stream_value{STREAM}", "value"),
        Query(f"detector_stream_expected{STREAM}", "expected"),
        Query(f"detector_stream_lower{STREAM}", "lower"),
        Query(f"detector_stream_upper{STREAM}", "upper"),
        width=16,
        signed=True,
    ),
    panel(
        "timeseries",
        "Score of $stream",
        "none",
        "anomaly_score; above 1 is anomalous.",
        Query(f"detector_stream_anomaly_score{STREAM}", "score"),
        Query("vector(1)", "threshold"),
    ),
]

ROWS = {
    "Overview": OVERVIEW,
    "Detections": DETECTIONS,
    "Chosen streams": STREAMS,
    "Input": INPUT,
    "Delivery": DELIVERY,
    "Worker": WORKER,
    "State": STATE,
    "Model": MODEL,
    "Learning": LEARNING,
}


def build() -> str:
    """The dashboard as JSON text."""
    board = (
        dashboard.Dashboard("detector")
        .uid("detector")
        .description("Anomaly detection on metrics from Kafka: alerts found, and the state of the workers.")
        .tags(["detector", "kafka"])
        .timezone("browser")
        .time("now-6h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(variable("job", "label_values(detector_build_info, job)"))
        .with_variable(variable("instance", 'label_values(detector_build_info{job=~"$job"}, instance)'))
        .with_variable(
            chosen("stream", 'label_values(detector_stream_value{job=~"$job", instance=~"$instance"}, stream)')
        )
    )
    top = 0
    number = count(1)
    for title, panels in ROWS.items():
        board.with_row(dashboard.Row(title).id(next(number)).grid_pos(GridPos(h=1, w=WIDTH, x=0, y=top)))
        top, left = top + 1, 0
        height = 4 if panels[0].kind == "stat" else 8
        for each in panels:
            if left + each.width > WIDTH:
                top, left = top + height, 0
            board.with_panel(drawn(each).id(next(number)).grid_pos(GridPos(h=height, w=each.width, x=left, y=top)))
            left += each.width
        top += height
    return json.dumps(board.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def variable(name: str, query: str) -> dashboard.QueryVariable:
    """Any number of what the query finds."""
    everything = VariableOption(text="All", value="$__all", selected=True)
    return chosen(name, query).include_all(True).all_value(".+").multi(True).current(everything)


def chosen(name: str, query: str) -> dashboard.QueryVariable:
    """One of what the query finds."""
    found = dashboard.QueryVariable(name).datasource(SOURCE).query(query)
    return found.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)


def drawn(each: Panel) -> "stat.Panel | timeseries.Panel | heatmap.Panel":
    made: stat.Panel | timeseries.Panel | heatmap.Panel
    if each.kind == "stat":
        made = stat.Panel().reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
    elif each.kind == "heatmap":
        made = heatmap.Panel()
    else:
        tooltip = VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
        legend = VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
        made = timeseries.Panel().tooltip(tooltip).legend(legend.show_legend(True))
        made = with_band(made) if each.kind == "band" else made.fill_opacity(10)
        made = made if each.signed else made.min(0)
    made.title(each.title).description(each.help).unit(each.unit).datasource(SOURCE)
    for number, query in enumerate(each.queries):
        made.with_target(target(query, chr(ord("A") + number), is_heatmap=each.kind == "heatmap"))
    return made


def with_band(made: timeseries.Panel) -> timeseries.Panel:
    """The area between two of the curves is filled, and only the value is drawn boldly."""
    faint = {"custom.lineWidth": 0, "color": {"mode": "fixed", "fixedColor": "blue"}}
    styles = {
        "upper": {**faint, "custom.fillBelowTo": "lower", "custom.fillOpacity": 15},
        "lower": faint,
        "expected": {"custom.lineWidth": 1, "color": {"mode": "fixed", "fixedColor": "blue"}},
        "value": {"custom.lineWidth": 2, "color": {"mode": "fixed", "fixedColor": "orange"}},
    }
    for curve, style in styles.items():
        made.override_by_name(curve, [DynamicConfigValue(id_val=key, value=value) for key, value in style.items()])
    return made.fill_opacity(0)


def target(query: Query, reference: str, is_heatmap: bool) -> prometheus.Dataquery:
    made = prometheus.Dataquery().expr(query.promql).legend_format(query.legend).ref_id(reference).datasource(SOURCE)
    return made.format(PromQueryFormat.HEATMAP) if is_heatmap else made


if __name__ == "__main__":
    TARGET.write_text(build(), encoding="utf-8")

"""The shop, watched by OpenTelemetry's instrumentation; spans are written to a file."""

import json
import os
import sys

from celery.signals import worker_process_init
from opentelemetry import metrics, trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from shop import add, again, app, fail

__all__ = ["app"]

reader = InMemoryMetricReader()


class Recording(SpanExporter):
    """Writes spans down, one to a line."""

    def export(self, spans):
        with open(os.environ["WATCHED"], "a") as out:  # noqa: PTH123 - as users write it
            out.writelines(span.to_json(indent=None) + "\n" for span in spans)
        return SpanExportResult.SUCCESS


@worker_process_init.connect(weak=False)
def start(**_fields):
    """As OpenTelemetry documents it: in each process of the pool."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Recording()))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([reader]))
    CeleryInstrumentor().instrument()


@app.task(name="traced.runtimes")
def runtimes():
    """How often each task was measured in this process."""
    data = reader.get_metrics_data()
    points = [
        point
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "flower.task.runtime.seconds"
        for point in metric.data.data_points
    ]
    return {point.attributes["task"]: point.count for point in points}


if __name__ == "__main__":
    start()
    with trace.get_tracer("shop").start_as_current_span("order") as span:
        results = [add.delay(2, 3), fail.delay("no stock"), again.delay()]
    for result in results:
        result.get(timeout=60, propagate=False)
    found = {
        "trace": f"0x{span.get_span_context().trace_id:032x}",
        "ids": [result.id for result in results],
        "runtimes": runtimes.delay().get(timeout=60),
    }
    json.dump(found, sys.stdout)

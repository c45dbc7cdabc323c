"""One evaluation of a sensor, as the daemon would do it."""

import dagster as dg

from ghl_snapshots.definitions import definitions
from ghl_snapshots_tests.orchestration.product import Product


def evaluated(product: Product, sensor: dg.SensorDefinition, cursor: str | None = None) -> dg.SensorResult:
    """What the sensor asks for and says, with the cursor that its next evaluation begins with."""
    resources = definitions().resources or {}
    with (
        product.instance() as instance,
        dg.build_sensor_context(
            instance=instance, cursor=cursor, resources={"database": resources["database"]}
        ) as context,
    ):
        data = sensor.evaluate_tick(context)
    return dg.SensorResult(
        run_requests=data.run_requests or [],
        skip_reason=dg.SkipReason(data.skip_message) if data.skip_message else None,
        dynamic_partitions_requests=data.dynamic_partitions_requests,
        cursor=data.cursor,
    )

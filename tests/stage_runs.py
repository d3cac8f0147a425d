"""A stage as the engine runs it, without the engine: the config lies in the folder, and the body is given its part of it."""

from typing import Any

from kdgat_models.files import write_json
from tasks.stage import Stage


def runs(stage: Stage[Any, ...]):
    """A function of (config, folder, inputs) that runs a stage in this process."""

    def run(config, folder, *inputs, **named):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "config.json", config.model_dump(mode="json"))
        part = stage.config_type.model_validate(stage.part_of(config))
        return stage.body(part, folder, **stage.inputs_of(*inputs, **named))

    return run

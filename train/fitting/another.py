"""One more network of a run's recipe, in a folder of its own: an inner fold's, or the one that is fitted again."""

from __future__ import annotations

from pathlib import Path

import torch

from fieldlens.runtime.files import atomic
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.config import Config
from fieldlens.train.epoch.distributed import ALONE
from fieldlens.train.epoch.loop import pick_device
from fieldlens.train.fitting.epochs import Fitting
from fieldlens.train.fitting.resume import last_state
from fieldlens.train.fitting.run_data import RunData
from fieldlens.train.model import load_weights, model_of


def another(config: Config, material: RunData, place: Path, weights: str, reporter: Reporter = SILENT) -> Fitting:
    """Begun with the recipe's seed and starting weights, or where a stop has left it in the folder ``place``."""
    atomic.make_folder(place)
    torch.manual_seed(config.train.seed)
    model = model_of(config.model, len(material.data.classes))
    load_weights(model, config.model.arch, weights, SILENT)
    model = model.to(pick_device(config.train.device)).to(memory_format=torch.channels_last)
    return Fitting(config, model, material, place, ALONE, last_state(place), reporter)

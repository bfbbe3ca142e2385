"""TRL's own trainers on the files of a run folder, as they are."""

from pathlib import Path
from typing import Any


def one_step(trainer: Any, settings: Any, file: Path, model: Path, folder: Path) -> Any:
    """The trainer of class `trainer`, with settings of class `settings`, after one step on a table."""
    from datasets import load_dataset
    from transformers import AutoTokenizer

    data: Any = load_dataset("json", data_files=str(file), split="train", cache_dir=str(folder / "hf"))
    chosen = settings(
        output_dir=str(folder / trainer.__name__), max_steps=1, per_device_train_batch_size=2,
        report_to="none", use_cpu=True, save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(model)
    made = trainer(str(model), args=chosen, train_dataset=data, processing_class=tokenizer)
    made.train()
    assert made.state.global_step == 1
    return made

"""The digits run: trained or resumed, its page written, its accuracy checked."""

from typing import Any

import jax

from jaxdl.cli.launch import as_dict, input_paths, one_run
from jaxdl.cli.options import check_ranges
from jaxdl.cli.progress import Bar
from jaxdl.digits.config import RESUMABLE, Config
from jaxdl.digits.data import open_digits
from jaxdl.digits.train import ROW, digits_task, write_samples
from jaxdl.errors import InputError, TrainingError
from jaxdl.files import atomic
from jaxdl.report.page import write_page
from jaxdl.training import session
from jaxdl.training.opening import open_run
from jaxdl.training.record import finish, finished_summary
from jaxdl.training.run_folder import recorded_rows, run_record


@one_run
def run(cfg: Config, bar: Bar) -> dict[str, Any]:
    """Train (or go on), write the page; returns the summary.

    Raises:
        TrainingError: less than --at-least.
    """
    check_ranges(cfg)
    data = open_digits(cfg.data)
    epochs = cfg.epochs or (15 if cfg.data is None else 2)
    if len(data.train.images) < cfg.batch_size:
        count = len(data.train.images)
        raise InputError(f"--batch-size {cfg.batch_size}: there are {count} pictures to train on")
    config = as_dict(cfg)
    record = open_run(
        cfg.out,
        config,
        may_change=RESUMABLE,
        resume=cfg.resume,
        overwrite=cfg.overwrite,
        inputs=input_paths(cfg),
    )
    counts = {"train": len(data.train.images), "test": len(data.test.images)}
    if record is None:
        record = run_record("digits", config, data.classes)
        record["data"] = {"source": data.source, **counts}
        atomic.write_json(cfg.out / "run.json", record)
    bar.line(f"{data.source}: {counts['train']:,} to train on, {counts['test']:,} to test on")
    page, summary_file = cfg.out / "report.html", cfg.out / "summary.json"
    summary, why = finished_summary(cfg.out, record, ["digits"])
    if why:
        bar.line(why)
    if summary:
        bar.line(f"{cfg.out}: finished already (--overwrite trains it again)")
    else:
        state = session.train(digits_task(cfg, data, epochs), cfg.out, reporter=bar).state
        write_samples(cfg, data, state.params)
        rows = recorded_rows(cfg.out / "metrics.jsonl", ROW)
        figures = {name: rows[-1]["test"][name] for name in ("accuracy", "loss")}
        seconds = sum(row["seconds"] for row in rows)
        summary = {"digits": figures | {"epochs": epochs, "seconds": seconds}}
        from jaxdl.digits.report import digits_section  # matplotlib takes long to import

        write_page(page, "jaxdl", [digits_section(cfg.out)], record)
        atomic.write_json(summary_file, summary)
        finish(cfg.out)
    accuracy, device = 100 * summary["digits"]["accuracy"], jax.devices()[0]
    bar.line(f"test accuracy {accuracy:.2f} % on {device.device_kind} ({device.platform})")
    bar.line(f"report: {page}")
    if accuracy < cfg.at_least:
        raise TrainingError(f"test accuracy {accuracy:.2f} %: below --at-least {cfg.at_least:g} %")
    return summary

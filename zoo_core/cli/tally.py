"""``zoo tally``."""

from pathlib import Path
from typing import Any

import click

from zoo_core.cli.console import echo_json, inert, say
from zoo_core.cli.tables import number, table

__all__ = ["tally"]

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("key", type=_FILE)
@click.argument("answers", type=_FILE, nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A metrics.json to add the records to.")
def tally(key: Path, answers: tuple[Path, ...], as_json: bool, out: Path | None) -> None:
    """Count the ANSWERS of people to a study, by its KEY.

    For each exposure: the share of right answers, which is 0.5 for people who cannot tell, and d', which is 0 for them, with their
    intervals of 95 %.

    \b
    Examples:
      zoo tally study-key.json answers-*.json
      zoo tally study-key.json answers-*.json --out runs/cats/export/metrics.json
    """
    from zoo_core.evaluation.human import read_key, read_session
    from zoo_core.evaluation.human import tally as count

    records = count(read_key(key), {str(path): read_session(path) for path in answers})
    if out:
        from zoo_core.evaluation.records import save_records

        save_records(out, records, {})
        say(inert(f"{out}: {len(records)} records"))
    if as_json:
        echo_json({"metrics": records})
    else:
        _show(records)


def _show(records: list[dict[str, Any]]) -> None:
    rows = []
    for record in records:
        people = record["people"]
        exposure = f"{record['options']['exposure']:,} ms" if record["options"] else "no limit"
        value = number(record["value"], record["stderr"])
        interval = " to ".join(f"{end:.2f}" for end in record["interval"])
        right = [f"{people['right'][kind][0]:,}/{people['right'][kind][1]:,}" for kind in ("real", "drawn")]
        rows.append([record["metric"], value, interval, exposure, *right])
    table(["METRIC", "VALUE", "95 %", "EXPOSURE", "RIGHT: REAL", "DRAWN"], rows, drop=("EXPOSURE",))
    raters = max(record["people"]["raters"] for record in records)
    say(f"zoo: answers of {raters:,} people" if raters > 1 else "zoo: answers of one person")
    if left_out := sum(record["people"]["left_out"] for record in records) // 2:
        say(f"zoo: {left_out} answers are left out: their pictures stood for too long, on a slow page or a hidden one")

"""Tables on the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from tasks.stages.reports import EvaluationReport


def show(what: Any) -> None:
    """Print to standard output; wide enough for the tables also where there is no terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(what, highlight=False)


def table(title: str, rows: list[dict[str, Any]], columns: list[str] | None = None) -> Table:
    """Rows as a table; numbers to four decimals."""
    made = Table(title=title, title_justify="left")
    columns = columns or list(rows[0])
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(_cell(row[column]) for column in columns))
    return made


def results_table(reports: Sequence["EvaluationReport"]) -> Table:
    """F1 / ROC-AUC of each model on each test split, one column per variant and model."""
    cells: dict[str, dict[str, str]] = {}
    columns = []
    for report in reports:
        for row in (row for row in report.rows if row.attack == "all"):
            column = f"{report.variant}\n{row.model}"
            columns += [column] if column not in columns else []
            cells.setdefault(row.split, {})[column] = f"{_cell(row.metrics.f1, 3)} / {_cell(row.metrics.roc_auc, 3)}"
    made = Table(title=f"{reports[0].dataset}: F1 / ROC-AUC per test split", title_justify="left")
    for column in ["split", *columns]:
        made.add_column(column, overflow="fold")
    for split, values in sorted(cells.items()):
        made.add_row(split, *(values.get(column, "-") for column in columns))
    return made


def _cell(value: Any, digits: int = 4) -> str:
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def plain(value: Any) -> str:
    """A value without quotes and brackets."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)

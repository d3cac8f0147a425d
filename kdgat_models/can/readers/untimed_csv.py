"""The CSV of ID, payload and label, without time: `081,40844E00000000A4,0`."""

from kdgat_models.can.lines import BLANK
from kdgat_models.can.readers.four_column_csv import diagnose_four_column
from kdgat_models.can.readers.reader import BYTES, IDENTIFIER, Reader


def diagnose_untimed(line: str) -> str:
    """What is wrong with a line that is not `arbitration_id,data_field,attack`."""
    fields = line.strip(BLANK).split(",")
    if len(fields) != 3:
        return f"{len(fields)} fields instead of 3 (arbitration_id,data_field,attack)"
    return diagnose_four_column(f"0,{line.strip(BLANK)}")


# Some published captures tell no time. All their frames get the timestamp 0, and what needs a clock does without.
UNTIMED_CSV = Reader(
    name="untimed_csv",
    line=rf"^(?P<id>{IDENTIFIER}),(?P<data>\s*{BYTES}\s*),(?P<label>[01])\s*$",
    header="arbitration_id,data_field,attack",
    example="081,40844E00000000A4,0",
    diagnose=diagnose_untimed,
)

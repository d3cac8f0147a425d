"""The text formats that can be read, one file each."""

from kdgat_models.can.readers.four_column_csv import FOUR_COLUMN_CSV
from kdgat_models.can.readers.hcrl_csv import HCRL_CSV
from kdgat_models.can.readers.hcrl_text import HCRL_TEXT
from kdgat_models.can.readers.reader import Reader
from kdgat_models.can.readers.untimed_csv import UNTIMED_CSV

READERS: dict[str, Reader] = {
    reader.name: reader
    for reader in (
        FOUR_COLUMN_CSV,
        UNTIMED_CSV,
        HCRL_CSV,
        HCRL_TEXT,
    )
}

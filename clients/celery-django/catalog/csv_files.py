"""Products as CSV text. Nothing here knows of tasks."""
import csv
import os
from decimal import Decimal

from .models import Product

COLUMNS = ('sku', 'name', 'price', 'stock')


def read_rows(text_file):
    """All rows of an uploaded file, as lists of strings in the order of COLUMNS."""
    reader = csv.DictReader(text_file)
    return [[row[column] for column in COLUMNS] for row in reader]


def product_from(row, imported_by):
    sku, name, price, stock = row
    return Product(sku=sku, name=name, price=Decimal(price), stock=int(stock), imported_by=imported_by)


def write_rows(path, rows):
    """Writes the file beside its place and renames it: a second execution replaces it, a reader never sees half."""
    unfinished = path.with_suffix(f'.{os.getpid()}')
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(unfinished, 'w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows(rows)
    os.replace(unfinished, path)


def join_files(path, parts):
    """One file with a header line from the parts."""

    def all_rows():
        yield COLUMNS
        for part in parts:
            with open(part, newline='', encoding='utf-8') as file:
                yield from csv.reader(file)

    write_rows(path, all_rows())

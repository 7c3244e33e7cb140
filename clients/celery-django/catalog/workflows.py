"""What the tasks make together: each function starts one piece of work and returns at once."""
from celery import chain, group

from . import tasks
from .models import Customer, Export, Import, Product


def start_newsletter(subject):
    customers = Customer.objects.values_list('pk', flat=True)
    return group(tasks.send_newsletter.s(pk, subject) for pk in customers).delay()


def start_import(rows, chunk_size):
    """The rows travel in the messages: workers on other machines need no shared disk."""
    chunks = [rows[start : start + chunk_size] for start in range(0, len(rows), chunk_size)]
    record = Import.objects.create(row_count=len(rows), chunk_count=len(chunks))
    chain(
        group(tasks.import_chunk.s(chunk) for chunk in chunks),
        tasks.finish_import.s(record.pk),
        tasks.send_report.s('import', record.pk),
    ).delay()
    return record


def start_export(chunk_size):
    record = Export.objects.create(row_count=Product.objects.count())
    chain(
        group(tasks.export_chunk.s(record.pk, first, chunk_size) for first in range(0, record.row_count, chunk_size)),
        tasks.join_export.s(record.pk),
        tasks.send_report.s('export', record.pk),
    ).delay()
    return record


def start_restock(sku, quantity):
    return chain(tasks.order_from_supplier.s(sku, quantity), tasks.book_delivery.s(sku, quantity)).delay()

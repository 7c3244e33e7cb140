"""The shop's background work.

Tasks are acknowledged when done (CELERY_TASK_ACKS_LATE), so each may run more than once; each says how it copes.
Database work that belongs together writes first and reads later: SQLite then waits for its turn instead of failing.
"""
import time
from pathlib import Path

from celery import shared_task
from celery.utils.log import get_task_logger
from django.conf import settings
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from . import csv_files, supplier
from .models import Customer, Delivery, Export, Import, Product, StockCount
from .task_types import RecordedTask, ReplyTask

logger = get_task_logger(__name__)


# --- mail; names that start with send_ go to the mail queue ---
@shared_task(base=RecordedTask)
def send_welcome(customer_id):
    """Once per customer, but for a crash between sending and noting it."""
    customer = Customer.objects.get(pk=customer_id)
    if customer.welcomed_at is None:
        send_mail('Welcome', 'Good to have you here.', None, [customer.email])
        Customer.objects.filter(pk=customer_id).update(welcomed_at=timezone.now())


@shared_task(base=RecordedTask)
def send_newsletter(customer_id, subject):
    """A repeat sends it again: nobody is hurt by that."""
    customer = Customer.objects.get(pk=customer_id)
    send_mail(subject, 'Read all about hares.', None, [customer.email])
    return customer.email


@shared_task(base=RecordedTask)
def send_report(summary, model_name, pk):
    """Tells the manager about a finished import or export, once."""
    model = {'import': Import, 'export': Export}[model_name]
    if model.objects.filter(pk=pk, reported_at=None).exists():
        send_mail(f'The {model_name} {pk} is done', summary, None, [settings.SHOP_MANAGER_EMAIL])
        model.objects.filter(pk=pk).update(reported_at=timezone.now())
    return summary


# --- import: many chunks, then finish_import, then send_report ---
@shared_task(bind=True, base=RecordedTask)
def import_chunk(self, rows):
    """A repeat finds its rows there (unique sku) and leaves them."""
    products = [csv_files.product_from(row, imported_by=self.request.id) for row in rows]
    Product.objects.bulk_create(products, ignore_conflicts=True)
    return len(rows)


@shared_task(base=RecordedTask)
def finish_import(chunk_sizes, import_id):
    Import.objects.filter(pk=import_id, finished_at=None).update(finished_at=timezone.now())
    return f'{sum(chunk_sizes)} rows in {len(chunk_sizes)} chunks'


# --- export: many part files, then join_export, then send_report ---
@shared_task(base=RecordedTask)
def export_chunk(export_id, first, count):
    """A repeat replaces the part with the same."""
    part = export_path(export_id).parent / f'part-{first:08}.csv'
    rows = Product.objects.order_by('sku').values_list(*csv_files.COLUMNS)[first : first + count]
    csv_files.write_rows(part, rows)
    return str(part)


@shared_task(base=RecordedTask)
def join_export(parts, export_id):
    csv_files.join_files(export_path(export_id), parts)
    Export.objects.filter(pk=export_id, finished_at=None).update(finished_at=timezone.now())
    return f'{len(parts)} parts'


def export_path(export_id):
    return Path(settings.MEDIA_ROOT) / f'export-{export_id}' / 'products.csv'


# --- stock and prices ---
@shared_task(bind=True, base=RecordedTask, max_retries=5)
def order_from_supplier(self, sku, quantity):
    """Asks again a second later while the supplier is busy. Repeats order nothing new: same reference."""
    try:
        return supplier.place_order(sku, quantity, attempt=self.request.retries, reference=self.request.id)
    except supplier.SupplierBusy as error:
        raise self.retry(countdown=1, exc=error)


@shared_task(base=RecordedTask)
def book_delivery(order_number, sku, quantity):
    """A repeat finds the delivery booked, and nothing is added twice."""
    product = Product.objects.get(sku=sku)
    try:
        with transaction.atomic():
            Delivery.objects.create(order_number=order_number, product=product, quantity=quantity)
            Product.objects.filter(pk=product.pk).update(stock=F('stock') + quantity)
    except IntegrityError:
        logger.info('%s is booked already', order_number)


@shared_task(base=RecordedTask)
def change_price(sku, price):
    """Sets a value: a repeat sets it again."""
    Product.objects.filter(sku=sku).update(price=price)


@shared_task(base=RecordedTask)
def count_stock(reason, seconds=0):
    """Counts what is there. `seconds` stands for the time that a large warehouse takes."""
    time.sleep(seconds)
    StockCount.objects.create(reason=reason, product_count=Product.objects.count())


@shared_task(base=ReplyTask)
def quote(sku, quantity):
    """Answers a waiting caller with the price of so many pieces."""
    return str(Product.objects.get(sku=sku).price * quantity)

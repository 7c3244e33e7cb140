"""Products, customers, and the traces that the background work leaves.

Whatever a task creates has a unique key, so that a task that runs twice does its work once.
"""
from django.db import models


class Product(models.Model):
    sku = models.CharField(max_length=20, unique=True)
    name = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=10, decimal_places=2)
    stock = models.IntegerField()
    imported_by = models.CharField(max_length=36, blank=True, help_text='id of the task that made this row')


class Customer(models.Model):
    email = models.EmailField(unique=True)
    welcomed_at = models.DateTimeField(null=True)


class Import(models.Model):
    row_count = models.IntegerField()
    chunk_count = models.IntegerField()
    finished_at = models.DateTimeField(null=True)
    reported_at = models.DateTimeField(null=True)


class Export(models.Model):
    row_count = models.IntegerField()
    finished_at = models.DateTimeField(null=True)
    reported_at = models.DateTimeField(null=True)


class Delivery(models.Model):
    """Goods from a supplier. The order number keeps one delivery from being booked twice."""

    order_number = models.CharField(max_length=50, unique=True)
    product = models.ForeignKey(Product, on_delete=models.CASCADE)
    quantity = models.IntegerField()


class StockCount(models.Model):
    reason = models.CharField(max_length=20)
    product_count = models.IntegerField()
    counted_at = models.DateTimeField(auto_now_add=True)


class TaskRun(models.Model):
    """One execution of a task. More than one for a task id: it was retried (retries > 0) or delivered again."""

    task_id = models.CharField(max_length=36, db_index=True)
    name = models.CharField(max_length=100)
    retries = models.IntegerField()
    redelivered = models.BooleanField()
    pid = models.IntegerField()
    started_at = models.DateTimeField(auto_now_add=True)

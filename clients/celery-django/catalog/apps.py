from django.apps import AppConfig
from django.db.backends.signals import connection_created


class CatalogConfig(AppConfig):
    name = 'catalog'

    def ready(self):
        connection_created.connect(use_write_ahead_log)


def use_write_ahead_log(connection, **kwargs):
    """Lets web processes read SQLite while a worker writes."""
    if connection.vendor == 'sqlite':
        with connection.cursor() as cursor:
            cursor.execute('PRAGMA journal_mode = WAL')

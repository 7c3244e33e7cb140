"""Stands for the web API of a supplier that is overloaded at first."""


class SupplierBusy(Exception):
    pass


def place_order(sku, quantity, attempt, reference):
    """Orders goods and returns the order number; the same reference gives the same number."""
    if attempt < 2:
        raise SupplierBusy(f'no capacity for {quantity} x {sku}, try again')
    return f'PO-{reference}'

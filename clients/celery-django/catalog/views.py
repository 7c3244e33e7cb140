"""The web side: takes the request, starts the work, answers 202; or shows how far it is."""
from io import TextIOWrapper

from django.db import transaction
from django.http import FileResponse, Http404, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET, require_POST

from . import csv_files, tasks, workflows
from .models import Customer, Export, Import

IMPORT_CHUNK = 100
EXPORT_CHUNK = 500


@require_POST
def add_customer(request):
    with transaction.atomic():
        customer = Customer.objects.create(email=request.POST['email'])
        # Not before the commit: a fast worker would not find the customer.
        transaction.on_commit(lambda: tasks.send_welcome.delay(customer.pk))
    return JsonResponse({'id': customer.pk}, status=201)


@require_POST
def start_newsletter(request):
    result = workflows.start_newsletter(request.POST['subject'])
    return JsonResponse({'group': result.id, 'mails': len(result)}, status=202)


@require_POST
def start_import(request):
    with TextIOWrapper(request.FILES['file'], encoding='utf-8', newline='') as text_file:
        rows = csv_files.read_rows(text_file)
    record = workflows.start_import(rows, IMPORT_CHUNK)
    return JsonResponse({'id': record.pk, 'chunks': record.chunk_count}, status=202)


@require_GET
def show_import(request, pk):
    record = get_object_or_404(Import, pk=pk)
    return JsonResponse({'id': pk, 'rows': record.row_count, 'is_finished': record.finished_at is not None})


@require_POST
def start_export(request):
    record = workflows.start_export(EXPORT_CHUNK)
    return JsonResponse({'id': record.pk}, status=202)


@require_GET
def show_export(request, pk):
    record = get_object_or_404(Export, pk=pk)
    return JsonResponse({'id': pk, 'rows': record.row_count, 'is_finished': record.finished_at is not None})


@require_GET
def download_export(request, pk):
    record = get_object_or_404(Export, pk=pk)
    if record.finished_at is None:
        raise Http404('not finished yet')
    return FileResponse(open(tasks.export_path(pk), 'rb'), as_attachment=True, filename='products.csv')

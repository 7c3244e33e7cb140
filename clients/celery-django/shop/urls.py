from django.urls import path

from catalog import views

urlpatterns = [
    path('customers/', views.add_customer),
    path('newsletters/', views.start_newsletter),
    path('imports/', views.start_import),
    path('imports/<int:pk>/', views.show_import),
    path('exports/', views.start_export),
    path('exports/<int:pk>/', views.show_export),
    path('exports/<int:pk>/file/', views.download_export),
]

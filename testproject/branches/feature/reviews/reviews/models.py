from django.conf import settings
from django.db import models


class Review(models.Model):
    product = models.ForeignKey("catalogue.Product", models.CASCADE, related_name="reviews")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="reviews")
    found_helpful_by = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True)
    stars = models.PositiveSmallIntegerField()
    text = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"{self.stars} stars for {self.product}"

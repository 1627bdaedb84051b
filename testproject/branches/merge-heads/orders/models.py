from django.conf import settings
from django.db import models


class Order(models.Model):
    customer = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="orders")
    products = models.ManyToManyField("catalogue.Product", through="Line")
    deliver_to = models.ForeignKey("customers.Address", models.SET_NULL, null=True, blank=True)
    gift_wrapped = models.BooleanField(default=False)
    note = models.TextField(blank=True)
    placed = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"Order {self.pk}"


class Line(models.Model):
    order = models.ForeignKey(Order, models.CASCADE, related_name="lines")
    product = models.ForeignKey("catalogue.Product", models.PROTECT)
    quantity = models.PositiveIntegerField(default=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["order", "product"], name="a_line_per_product"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.product}"

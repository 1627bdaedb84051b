from django.db import models


class Invoice(models.Model):
    order = models.OneToOneField("orders.Order", models.PROTECT)
    before_discount = models.DecimalField(max_digits=8, decimal_places=2)
    total = models.DecimalField(max_digits=8, decimal_places=2)

    def __str__(self) -> str:
        return f"Invoice {self.pk}"


class Payment(models.Model):
    invoices = models.ManyToManyField(Invoice, related_name="payments")
    payer = models.ForeignKey("customers.Customer", models.PROTECT)
    amount = models.DecimalField(max_digits=8, decimal_places=2)

    def __str__(self) -> str:
        return f"Payment {self.pk}"

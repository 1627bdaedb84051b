from django.contrib.auth.models import AbstractUser
from django.db import models


class Customer(AbstractUser):
    phone = models.CharField(max_length=30, blank=True)
    wishlist = models.ManyToManyField("catalogue.Product", related_name="wanted_by", blank=True)


class Address(models.Model):
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="addresses")
    street = models.CharField(max_length=100)
    city = models.CharField(max_length=50)

    def __str__(self) -> str:
        return f"{self.street}, {self.city}"

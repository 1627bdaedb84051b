import pytest
from customers.models import Customer


@pytest.fixture
def ann(db: None) -> Customer:
    return Customer.objects.create(username="ann", email="ann@example.org")

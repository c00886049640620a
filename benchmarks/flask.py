"""A Flask app with pandas and SQLAlchemy: a factory, a blueprint, mapped classes."""

from __future__ import annotations

from .apps import MARKER, App

_COMMAND = ("flask", "--app", "{target}", "firehot", "--debug", "--port", "{port}")

FLASK = App(
    name="flask",
    requirements=("flask==3.1.3", "numpy==2.4.6", "pandas==3.1.1", "sqlalchemy==2.1.9", "werkzeug==3.1.9"),
    edited="service.py",
    target="app",
    starts=False,
    served_by={"firehot": _COMMAND, "flask": tuple("run" if part == "firehot" else part for part in _COMMAND)},
    files={
        "app.py": """\
from flask import Flask

import service
from orders import blueprint


def create_app() -> Flask:
    app = Flask(__name__)
    app.register_blueprint(blueprint)

    @app.get("/version")
    def version() -> dict[str, int]:
        return {"version": service.current_version()}

    return app
""",
        "models.py": """\
from sqlalchemy import ForeignKey, String, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    orders: Mapped[list["Order"]] = relationship(back_populates="customer")


class Order(Base):
    __tablename__ = "order"
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[float]
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    customer: Mapped[Customer] = relationship(back_populates="orders")


engine = create_engine("sqlite:///:memory:")
""",
        "service.py": f"""\
import pandas

from models import Customer, Order

{MARKER}


def current_version() -> int:
    return VERSION


def mean(amounts: list[float]) -> float:
    return float(pandas.Series(amounts).mean())


def order(name: str, amount: float) -> Order:
    return Order(customer=Customer(name=name), amount=amount)
""",
        "orders.py": """\
from flask import Blueprint, request

import service

blueprint = Blueprint("orders", __name__, url_prefix="/orders")


@blueprint.post("/mean")
def mean() -> dict[str, float]:
    return {"mean": service.mean(request.json["amounts"])}
""",
    },
)

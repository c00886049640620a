"""The applications that are served while measuring, and the edits made to them.

They are kept as text rather than as files of this repository: each server gets a fresh copy of its own, in a
temporary folder, and neither the linters nor the servers' watchers ever meet the originals.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FIRST_VERSION = 100_000
"""Six digits from the first version on, so that the number alone never changes the size of the file."""

MARKER = f"VERSION = {FIRST_VERSION}  #"


@dataclass(frozen=True)
class App:
    """An application: its files, where its ASGI object is, and which file the edits go to.

    Attributes:
        commands: what makes the project in an empty folder, by an environment's scripts; `files` go on top of it.
        starts: whether its cold starts are measured, too: not where another app differs by its edits alone.
        served_by: for an app that its framework's own command serves: the name of each server that is measured, and how
            it is started. Else it is served by all that have a command of their own.
    """

    name: str
    requirements: tuple[str, ...]
    files: Mapping[str, str]
    edited: str
    target: str = "app:app"
    path: str = "/version"
    commands: tuple[tuple[str, ...], ...] = ()
    starts: bool = True
    served_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write its files into `folder`, at the first version."""
        for name, source in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")


@dataclass(frozen=True)
class Edit:
    """The n-th edit, counted from 1. Four in a row try all pairs of same size or not, renamed or in place."""

    number: int

    @property
    def version(self) -> int:
        """What the application answers once it runs this edit."""
        return FIRST_VERSION + self.number

    @property
    def same_size(self) -> bool:
        """Whether the file keeps its size: a trap for bytecode that is checked by time and size."""
        return self.number % 2 == 0

    @property
    def atomic(self) -> bool:
        """Whether the editor writes aside and renames (vim, PyCharm) or writes in place (VS Code, nano)."""
        return self.number % 4 in (0, 1)

    def source(self, app: App) -> str:
        """The edited file's new text."""
        padding = "~" * ((self.number + 1) // 2 % 10)
        return app.files[app.edited].replace(MARKER, f"VERSION = {self.version}  #{padding}")

    def save(self, app: App, folder: Path) -> None:
        """Save the edit as an editor would."""
        path = folder / app.edited
        source = self.source(app)
        if not self.atomic:
            path.write_text(source, encoding="utf-8")
            return
        aside = path.with_name(f".{path.name}.saving")
        aside.write_text(source, encoding="utf-8")
        os.replace(aside, path)


# Versions that exist for every Python from 3.11 on: all peers serve the same code, whatever interpreter runs.
_FASTAPI = ("fastapi==0.165.0", "pydantic==2.14.3", "starlette==1.10.0")
_SCIENCE = ("matplotlib==3.11.2", "numpy==2.4.6", "pandas==3.1.1", "scipy==1.17.1", "sqlalchemy==2.1.9")

SMALL = App(
    name="small",
    requirements=_FASTAPI,
    edited="app.py",
    files={
        "app.py": f"""\
from fastapi import FastAPI

{MARKER}

app = FastAPI()


@app.get("/version")
async def version() -> dict[str, int]:
    return {{"version": VERSION}}
""",
    },
)

# Weighs what its third-party packages weigh; its own modules are small.
HEAVY = App(
    name="heavy",
    requirements=_FASTAPI + _SCIENCE,
    edited="service.py",
    files={
        "app.py": """\
import pandas
from fastapi import FastAPI

import service
from routes import router

app = FastAPI(title="heavy")
app.include_router(router)


@app.get("/version")
async def version() -> dict[str, int]:
    return {"version": service.current_version()}


@app.get("/pandas")
async def pandas_version() -> dict[str, str]:
    return {"pandas": pandas.__version__}
""",
        "settings.py": """\
CHART_SIZE = (4, 3)
""",
        "models.py": """\
import sqlalchemy
from sqlalchemy.orm import Session

metadata = sqlalchemy.MetaData()
orders = sqlalchemy.Table(
    "orders",
    metadata,
    sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True),
    sqlalchemy.Column("amount", sqlalchemy.Float),
)


def total(session: Session) -> float:
    return float(session.execute(sqlalchemy.select(sqlalchemy.func.sum(orders.c.amount))).scalar_one())
""",
        "charts.py": """\
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from settings import CHART_SIZE


def bars(values: list[float]) -> int:
    figure, axes = plt.subplots(figsize=CHART_SIZE)
    axes.bar(range(len(values)), values)
    plt.close(figure)
    return len(values)
""",
        "service.py": f"""\
import pandas
import scipy.stats

import charts
import models

{MARKER}


def current_version() -> int:
    return VERSION


def summary(amounts: list[float]) -> dict[str, float]:
    series = pandas.Series(amounts)
    return {{
        "mean": float(series.mean()),
        "skew": float(scipy.stats.skew(series)),
        "bars": charts.bars(amounts),
    }}
""",
        "routes.py": """\
from fastapi import APIRouter
from pydantic import BaseModel

import service

router = APIRouter(prefix="/orders")


class Amounts(BaseModel):
    amounts: list[float]


@router.post("/summary")
async def summary(body: Amounts) -> dict[str, float]:
    return service.summary(body.amounts)
""",
    },
)

# The same packages, used as applications do: mapped classes, an engine. Importing its own modules
# alone takes longer than a fork.
ORM = App(
    name="orm",
    requirements=_FASTAPI + _SCIENCE,
    edited="service.py",
    files={
        "app.py": """\
import pandas
from fastapi import FastAPI

import service
from routes import router

app = FastAPI(title="heavy")
app.include_router(router)


@app.get("/version")
async def version() -> dict[str, int]:
    return {"version": service.current_version()}


@app.get("/pandas")
async def pandas_version() -> dict[str, str]:
    return {"pandas": pandas.__version__}
""",
        "settings.py": """\
DATABASE = "sqlite:///:memory:"
CHART_SIZE = (4, 3)
""",
        "models.py": """\
from sqlalchemy import ForeignKey, String, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from settings import DATABASE


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


engine = create_engine(DATABASE)
""",
        "charts.py": """\
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from settings import CHART_SIZE


def bars(values: list[float]) -> int:
    figure, axes = plt.subplots(figsize=CHART_SIZE)
    axes.bar(range(len(values)), values)
    plt.close(figure)
    return len(values)
""",
        "service.py": f"""\
import pandas
import scipy.stats

import charts
from models import Customer, Order

{MARKER}


def current_version() -> int:
    return VERSION


def summary(amounts: list[float]) -> dict[str, float]:
    series = pandas.Series(amounts)
    return {{
        "mean": float(series.mean()),
        "skew": float(scipy.stats.skew(series)),
        "bars": charts.bars(amounts),
    }}


def order(name: str, amount: float) -> Order:
    return Order(customer=Customer(name=name), amount=amount)
""",
        "routes.py": """\
from fastapi import APIRouter
from pydantic import BaseModel

import service

router = APIRouter(prefix="/orders")


class Amounts(BaseModel):
    amounts: list[float]


@router.post("/summary")
async def summary(body: Amounts) -> dict[str, float]:
    return service.summary(body.amounts)
""",
    },
)

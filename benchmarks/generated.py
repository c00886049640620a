"""An application of many files, written by a loop: each pair of files is a mapped class and a router that uses it."""

from __future__ import annotations

from .apps import HEAVY, MARKER, App

_BASE = """\
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    pass
"""

_MODEL = """\
from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class Item{n}(Base):
    __tablename__ = "item_{n}"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    amount: Mapped[float]
"""

_ROUTER = """\
from fastapi import APIRouter
from pydantic import BaseModel

from models.item_{n} import Item{n}

{marker}

router = APIRouter(prefix="/items/{n}")


class Body{n}(BaseModel):
    name: str
    amount: float


@router.get("/version")
async def version() -> dict[str, int]:
    return {{"version": VERSION}}


@router.post("/total")
async def total(body: Body{n}) -> dict[str, float]:
    item = Item{n}(name=body.name, amount=body.amount)
    return {{"total": item.amount}}
"""

_IMPORT = "from routers.item_{n} import router as router_{n}\n"
_INCLUDE = "app.include_router(router_{n})\n"


def generate(name: str, pairs: int) -> App:
    """An application of `pairs` models and as many routers. The router in the middle is the one that is edited."""
    numbers = [f"{number:03}" for number in range(pairs)]
    middle = numbers[pairs // 2]
    files = {
        "app.py": _app(name, numbers),
        "models/__init__.py": "",
        "models/base.py": _BASE,
        "routers/__init__.py": "",
    }
    files |= {f"models/item_{n}.py": _MODEL.format(n=n) for n in numbers}
    files |= {f"routers/item_{n}.py": _ROUTER.format(n=n, marker=MARKER) for n in numbers}
    return App(name, HEAVY.requirements, files, edited=f"routers/item_{middle}.py", path=f"/items/{middle}/version")


def _app(name: str, numbers: list[str]) -> str:
    imports = "".join(_IMPORT.format(n=n) for n in numbers)
    includes = "".join(_INCLUDE.format(n=n) for n in numbers)
    return f'from fastapi import FastAPI\n\n{imports}\napp = FastAPI(title="{name}")\n{includes}'


FILES300 = generate("files300", pairs=150)

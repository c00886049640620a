"""An application of many files, written by a loop: each pair of files is a mapped class and a router that uses it."""

from __future__ import annotations

from dataclasses import replace

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
{version}"""

_ROUTER = """\
from fastapi import APIRouter
from pydantic import BaseModel

from models.item_{n} import Item{n}
{version}
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

_APP = """\
from fastapi import FastAPI

{imports}from {package} import {module} as edited


class Ready:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["path"] != "/ready":
            await self.app(scope, receive, send)
            return
        await send({{"type": "http.response.start", "status": 200, "headers": []}})
        await send({{"type": "http.response.body", "body": b'{{"version": %d}}' % edited.VERSION}})


app = FastAPI(title="{name}")
{includes}
app = Ready(app)
"""


def generate(name: str, pairs: int, edited: str | None = None) -> App:
    """An application of `pairs` models and as many routers. `edited` is one of those files, else the middle router.

    `/ready` is answered ahead of FastAPI, which puts all routes together at its first request: that takes a while
    under any server, and hides what the server itself takes.
    """
    numbers = [f"{number:03}" for number in range(pairs)]
    edited = edited or f"routers/item_{numbers[pairs // 2]}.py"
    package, _, module = edited.removesuffix(".py").partition("/")
    number = module.removeprefix("item_")
    files = {
        "app.py": _app(name, numbers, package, module),
        "models/__init__.py": "",
        "models/base.py": _BASE,
        "routers/__init__.py": "",
    }
    files |= {f"models/item_{n}.py": _MODEL.format(n=n, version="") for n in numbers}
    files |= {f"routers/item_{n}.py": _ROUTER.format(n=n, version=f"\n{MARKER}\n") for n in numbers}
    if package == "models":
        # Last: where the class cannot be defined a second time, nothing must pass for the new code.
        files[edited] = _MODEL.format(n=number, version=f"\n\n{MARKER}\n")
        version = f"from models.{module} import VERSION\n"
        files[f"routers/{module}.py"] = _ROUTER.format(n=number, version=version)
    return App(name, HEAVY.requirements, files, edited, path=f"/items/{number}/version")


def _app(name: str, numbers: list[str], package: str, module: str) -> str:
    imports = "".join(_IMPORT.format(n=n) for n in numbers)
    includes = "".join(_INCLUDE.format(n=n) for n in numbers)
    return _APP.format(name=name, imports=imports, includes=includes, package=package, module=module)


def _ready(app: App) -> App:
    return replace(app, name=f"{app.name}-ready", path="/ready", starts=False)


PAIRS = 150

FILES300 = generate("files300", PAIRS)

_LEAF = generate("large-leaf", PAIRS, "routers/item_149.py")
_MIDDLE = replace(generate("large-middle", PAIRS, "routers/item_075.py"), starts=False)
_MODEL_NEAR_ROOT = replace(generate("large-model", PAIRS, "models/item_001.py"), starts=False)

LARGE = tuple(asked for app in (_LEAF, _MIDDLE, _MODEL_NEAR_ROOT) for asked in (app, _ready(app)))
"""One project, with edits to what it imports last, halfway and near the start, each asked in two ways."""

"""Templates and translations that were edited show in the next request, without a reload and without a watcher.

What a cache holds is used as long as the files are those that it was made of; each is looked at once in a request.
"""

from __future__ import annotations

import gettext
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.signals import request_started
from django.template.loaders import base, cached, filesystem
from django.utils.translation import reloader, trans_real

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.template import Origin, Template

    Signature = tuple[int, int, int] | None
    """Of a file: inode, time of change in ns, size. None: there is none."""


def keep_fresh() -> None:
    """From now on, in this process. Before anything is cached."""
    Templates().install()
    Catalogues().install()


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is cached of one template."""

    request: int
    """The request in which it was looked at last."""
    signatures: list[Signature]
    template: Template


class Templates:
    """Takes the place of `get_template` of Django's cached loader."""

    def __init__(self) -> None:
        self._request = 0

    def install(self) -> None:
        """For all loaders."""
        cached.Loader.get_template = lambda *arguments, **keywords: self.get(*arguments, **keywords)
        request_started.connect(self._begin_request)

    def get(self, loader: cached.Loader, template_name: str, skip: Sequence[Origin] | None = None) -> Template:
        """The template of this name, as its file is by now.

        Raises:
            TemplateDoesNotExist: which is not cached: to know it takes as many looks as to find it out.
        """
        key, request = loader.cache_key(template_name, skip), self._request
        entry: _Entry | None = loader.get_template_cache.get(key)
        if entry is not None and entry.request == request:
            return entry.template
        # Looked at before they are read: what changes meanwhile is noticed the next time.
        signatures = list(_sources(loader, template_name, skip or ()))
        if entry is not None and entry.signatures == signatures:
            template = entry.template
        else:
            template = base.Loader.get_template(loader, template_name, skip)
        loader.get_template_cache[key] = _Entry(request, signatures, template)
        return template

    def _begin_request(self, **_signal: Any) -> None:
        self._request += 1


class Catalogues:
    """Looks, when a request begins, whether `gettext` would find what it found."""

    def __init__(self) -> None:
        self._find = gettext.find
        self._found: dict[tuple[Any, ...], list[Signature]] = {}

    def install(self) -> None:
        """For all of Django's translations."""
        vars(gettext)["find"] = self.find
        request_started.connect(self._begin_request)

    def find(
        self, domain: str, localedir: Any = None, languages: Sequence[str] | None = None, all: bool = False
    ) -> Any:
        """`gettext.find`."""
        arguments = (domain, localedir, None if languages is None else tuple(languages), all)
        found = self._find(*arguments)
        self._found.setdefault(arguments, _signatures(found))
        return found

    def _begin_request(self, **_signal: Any) -> None:
        for arguments, signatures in list(self._found.items()):
            if _signatures(self._find(*arguments)) != signatures:
                self._forget()
                return

    def _forget(self) -> None:
        self._found.clear()
        reloader.translation_file_changed(None, Path("django.mo"))
        trans_real.reset_cache(setting="LANGUAGES")


def _sources(loader: base.Loader, template_name: str, skip: Sequence[Origin]) -> Iterator[Signature]:
    """Of the files where the loader would look, up to the one where it is known to find it."""
    for origin in loader.get_template_sources(template_name):
        if origin in skip or not os.path.isabs(origin.name):  # not a file: loaders name it as they like
            continue
        signature = _signature(origin.name)
        yield signature
        if signature and isinstance(origin.loader, filesystem.Loader):
            return


def _signatures(found: str | list[str] | None) -> list[Signature]:
    return [_signature(path) for path in ([found] if isinstance(found, str) else found or ())]


def _signature(path: str) -> Signature:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size

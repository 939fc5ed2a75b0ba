"""The steps of a fetch that depend on the layout of the files: that of the zoo, or that of another library, which a plugin reads."""

from collections.abc import Callable, Collection
from dataclasses import replace

from zoo_core.checkpoint.files import CONFIG, WEIGHTS, Files, is_data
from zoo_core.checkpoint.layouts import layout_of
from zoo_core.errors import ZooError
from zoo_core.hub.listing_checks import check_checkpoint, check_count
from zoo_core.hub.repository import Listing, Repository
from zoo_core.registry import Reference

__all__ = ["check_listed", "fetch_listed", "is_whole", "wanted_by", "wanted_names"]


def wanted_by(reference: Reference) -> Callable[[str], bool]:
    """The function that tells by its name whether a file of a reference's repository or folder is wanted.

    >>> is_wanted = wanted_by(Reference(kind="hub", name="zoo/cats"))
    >>> is_wanted("config.json"), is_wanted("run.py"), is_wanted("unet/config.json")
    (True, False, False)
    """
    if reference.layout:
        layout = layout_of(reference)
        return lambda name: is_data(name) and layout.is_wanted(name)
    return lambda name: is_data(name) and "/" not in name


def wanted_names(files: Files) -> tuple[str, ...]:
    """Names of the files that the zoo reads: in the layout of another library, those that the layout wants."""
    return tuple(filter(wanted_by(files.reference), files.names)) if files.reference.layout else files.names


def check_listed(reference: Reference, listing: Listing) -> None:
    """Refuses a repository that holds no checkpoint, before any download.

    Raises:
        NotFoundError: if the config or the weights of the zoo's layout are missing.
        TrustError: if the files are not of the reference's layout.
        UnsafeContentError: if there are too many files.
    """
    if reference.layout:
        check_count(reference, listing)
        layout_of(reference).check(str(reference), (*listing.files, *listing.skipped))
    else:
        check_checkpoint(reference, listing)


def fetch_listed(files: Files, repository: Repository, listing: Listing) -> frozenset[str]:
    """Fetches the files of a listing; in the layout of another library the small ones first, which must be such that the zoo reads them.

    Returns:
        The names of the files that were fetched.

    Raises:
        ZooError: as :meth:`Repository.download_all` and the layout do.
    """
    small = frozenset[str]()
    if files.reference.layout:
        described = {name: file for name, file in listing.files.items() if not name.endswith(".safetensors")}
        small = repository.download_all(replace(listing, files=described), {})
        layout_of(files.reference).convert(files)
    return small | repository.download_all(listing, {})


def is_whole(reference: Reference, names: Collection[str]) -> bool:
    """Whether files of these names are a whole checkpoint.

    >>> is_whole(Reference(kind="hub", name="zoo/cats"), ["config.json"])
    False
    """
    if not reference.layout:
        return {CONFIG, WEIGHTS} <= set(names)
    try:
        layout_of(reference).check(str(reference), names)
    except ZooError:
        return False
    return True

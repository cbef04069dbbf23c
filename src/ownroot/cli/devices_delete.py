"""The terminal side of `devices delete`."""

from ownroot.cli.options import Target
from ownroot.client.api import Api
from ownroot.console.output import Output


def delete_all(target: Target, names: tuple[str, ...], *, by_uuid: bool, assume_yes: bool, as_json: bool) -> None:
    """Delete one after the other; the first failure ends it, and says what was deleted before."""
    output = Output(as_json=as_json)
    access = target.access()
    listed = names[0] if len(names) == 1 else f"these {len(names)} devices"
    if output.can_ask:
        output.confirm(f"Delete {listed} from factory {access.factory}?", assume_yes=assume_yes)
    deleted: list[str] = []
    with Api(access) as api:
        for name in names:
            api.delete_device(name, by_uuid=by_uuid)
            deleted.append(name)
            output.line(f"Deleted {name}. It is refused until it is registered again.")
    if as_json:
        output.document({"factory": access.factory, "deleted": deleted})

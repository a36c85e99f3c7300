"""`migrate`: brings the database's schema up to this program's."""

from services.commands.surroundings import DataOption


def migrate(data: DataOption = None) -> None:
    """Bring the database's schema up.

    Safe to run twice, at once, and while services run.
    """
    from deploy.migrations.upgrade import is_current
    from services.commands.store import with_database
    from services.commands.surroundings import read_settings

    with_database(read_settings(data_dir=data), is_current)
    print("the database's schema is this program's")

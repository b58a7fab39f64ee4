"""History that nobody rewrites: the trigger that every append-only table carries."""

import pgtrigger


def append_only(name: str) -> pgtrigger.Trigger:
    """Refuses UPDATE, DELETE and TRUNCATE. A statement trigger, because a row trigger does not see TRUNCATE."""
    return pgtrigger.Trigger(
        name=name,
        level=pgtrigger.Statement,
        when=pgtrigger.Before,
        operation=pgtrigger.Update | pgtrigger.Delete | pgtrigger.Truncate,
        func="RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';",
    )

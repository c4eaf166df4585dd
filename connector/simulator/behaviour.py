"""Where the documents are silent or disagree: what this org does, as switches."""

from dataclasses import dataclass


@dataclass
class Behaviour:
    """Open questions about Salesforce, each answered both ways by some source; readers must cope with either.

    `cascade_moves_stamps`: rows deleted with their parent get new stamps.
    `delete_moves_last_modified`: deletion moves LastModifiedDate, not SystemModstamp alone; the same for undeletion.
    `undelete_restores_children`: rows deleted by a cascade come back with their parent.
    `reparent_moves_last_modified`: children taken over in a merge get a new LastModifiedDate.
    `conversion_moves_last_modified`: converting a lead moves its LastModifiedDate.
    `edit_converted_leads`: converted leads may be edited.
    """

    cascade_moves_stamps: bool = True
    delete_moves_last_modified: bool = True
    undelete_restores_children: bool = True
    reparent_moves_last_modified: bool = True
    conversion_moves_last_modified: bool = True
    edit_converted_leads: bool = False

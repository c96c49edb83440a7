"""Schema bronze: its tables, its ledger, and the loader that fills them."""

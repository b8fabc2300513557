"""Make the assertions of the rules speak: pytest explains them only in modules named here."""

import pytest

pytest.register_assert_rewrite(
    *(
        f"tests.graphdb.{module}"
        for module in (
            "deletion_rules",
            "durability_rules",
            "feed_rules",
            "mirror",
            "orders",
            "position_rules",
            "read_rules",
            "state_rules",
        )
    )
)

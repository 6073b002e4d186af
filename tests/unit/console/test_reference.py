"""The reference data in force, as the store holds them."""

from schemas.reference import PUBLISHING_ORDER
from services.console.read_model.reference_index import IndexedReference
from tests.shipped import territory


def test_sections_stand_in_the_order_in_which_they_are_published_however_the_store_holds_them() -> (
    None
):
    contents = {
        section.section.value: section.model_dump(mode="json") for section in territory().sections
    }
    for order in (sorted(contents), sorted(contents, reverse=True)):
        found = IndexedReference.of("v", {name: contents[name] for name in order})
        assert [section.section for section in found.sections] == list(PUBLISHING_ORDER)

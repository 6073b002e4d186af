"""The reference data in force, as the store holds them."""

from schemas.reference import PUBLISHING_ORDER
from services.console.read_model.reference_index import IndexedReference
from tests.shipped import territory


def test_sections_are_listed_in_their_order_of_publication() -> None:
    contents = {
        section.section.value: section.model_dump(mode="json") for section in territory().sections
    }
    for order in (sorted(contents), sorted(contents, reverse=True)):
        indexed_reference = IndexedReference.of("v", {name: contents[name] for name in order})
        assert [section.section for section in indexed_reference.sections] == [
            section for section in PUBLISHING_ORDER if section.value in contents
        ]

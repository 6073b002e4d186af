"""The reference data in force, as the store holds them."""

from schemas.reference import PUBLISHING_ORDER, SectionData, Sites
from services.console.incidents.titles import describe_cause
from services.console.read_model.reference_index import IndexedReference
from services.messages import MessageNames
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


COLLEGE = "clg-0921353W"


def without_college() -> tuple[SectionData, ...]:
    return tuple(
        Sites(sites=tuple(site for site in section.sites if site.id != COLLEGE))
        if isinstance(section, Sites)
        else section
        for section in territory().sections
    )


def test_a_site_that_left_keeps_its_name() -> None:
    """Pages, titles and documents said its code."""
    college = next(site for site in territory().sites if site.id == COLLEGE)
    sites = {site.id: (site.name, site.commune_name) for site in territory().sites}
    after = IndexedReference.of_sections("v2", without_college()).with_former_sites(sites)
    assert after.names.site(COLLEGE) == f"{college.name} (site retiré)"
    assert after.names.commune_of(COLLEGE) == college.commune_name
    assert describe_cause("site", COLLEGE, after.names, "fr") == f"{college.name} (site retiré)"
    assert after.message_names.sites[COLLEGE] == (college.name, college.commune_name)
    assert COLLEGE not in after.sites, "nobody reports of it, moves there or counts it any more"


def test_messages_name_a_site_that_left() -> None:
    """A call about it said «Hauts-de-Seine» or its commune alone."""
    before = MessageNames.of(territory().sections)
    after = before
    for section in without_college():
        after = after.with_section(section)
    assert after.sites[COLLEGE] == before.sites[COLLEGE]

"""The equations whose smallest detectable fault is measured: each once, and all that their groups name."""

from reference.audit import EQUATIONS
from reports.faults.limits import COMPOSED, JACOBIAN, MEASURED, UPDATE


def test_every_equation_is_measured_once_and_has_a_name_of_the_audit():
    assert len(set(MEASURED)) == len(MEASURED)
    assert set(MEASURED) <= set(EQUATIONS)


def test_the_groups_have_no_equation_in_common_and_are_all_measured():
    groups = (*UPDATE, *COMPOSED, *JACOBIAN)
    assert len(set(groups)) == len(groups)
    assert set(groups) <= set(MEASURED)

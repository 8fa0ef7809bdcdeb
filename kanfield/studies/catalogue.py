"""Every study's settings by the study's name. Imports no torch: the command line shows its help at once."""

from __future__ import annotations

from kanfield.studies.conditioning.settings import Conditioning
from kanfield.studies.grid_extension.settings import GridExtension
from kanfield.studies.ntk.settings import Ntk
from kanfield.studies.pde.settings import Pde
from kanfield.studies.poisson_1d.settings import Poisson1d
from kanfield.studies.random_field.settings import RandomField
from kanfield.studies.scaling.settings import Scaling
from kanfield.studies.settings import StudySettings
from kanfield.studies.waves.settings import Waves

STUDIES: dict[str, type[StudySettings]] = {
    kind.NAME: kind
    for kind in (Waves, RandomField, Poisson1d, Ntk, Conditioning, GridExtension, Scaling, Pde)
}

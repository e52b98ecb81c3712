"""What every run needs, imported once: a run then starts in a tenth of a second, not in five."""

import torch._dynamo  # noqa: F401 - an optimizer's first step would import it

import forgetkit.audit.outputs
import forgetkit.audit.run
import forgetkit.audit.subject
import forgetkit.cli
import forgetkit.data.find
import forgetkit.distilling
import forgetkit.neutralizing
import forgetkit.relabeling
import forgetkit.streams
import forgetkit.trainings  # noqa: F401
